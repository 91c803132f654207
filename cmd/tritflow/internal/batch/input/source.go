package input

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Item is a line of the input.
type Item struct {
	Line  int64  // from 1; of a file of lines the physical one, else the number of the record
	Text  []byte // a JSON line, or the prompt; valid until the next call of Next
	ID    string // of a record, as its column or its number says; "" for JSON lines
	Fault *Fault // why the line cannot be used; nil = it can
}

// Fault is what is wrong with a line.
type Fault struct {
	Code    string
	Message string
}

// Digest is what a later run recognises the line by.
func (it *Item) Digest() (d [8]byte) {
	h := sha256.New()
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(it.Line))
	h.Write(n[:])
	fmt.Fprintf(h, "%q ", it.ID)
	h.Write(it.Text)
	if it.Fault != nil {
		fmt.Fprintf(h, " %q", it.Fault.Code)
	}
	copy(d[:], h.Sum(nil))
	return d
}

// Source gives lines until io.EOF. An error other than that is about the input
// as a whole.
type Source interface {
	Next() (Item, error)
	// Read is how much of the input has been read, of how much, in bytes or
	// records; total is 0 where that is unknown.
	Read() (n, total int64)
	Close() error
}

// MostBytes is how long a line, or the columns of a record, may be.
const MostBytes = 16 << 20

func tooLong() *Fault {
	return &Fault{"line_too_long", fmt.Sprintf("the line is longer than %d MiB", MostBytes>>20)}
}

// Format is how the input is written.
type Format string

// The formats.
const (
	JSONL   Format = "jsonl"
	Text    Format = "text"
	CSV     Format = "csv"
	TSV     Format = "tsv"
	Parquet Format = "parquet"
)

// formatNames names them all.
const formatNames = JSONL + ", " + Text + ", " + CSV + ", " + TSV + " and " + Parquet

// FormatOf finds the format of a file by its name, or of a pipe; name is what
// the user said, "" = nothing.
func FormatOf(name, path string) (Format, error) {
	if name != "" {
		switch f := Format(name); f {
		case JSONL, Text, CSV, TSV, Parquet:
			return f, nil
		}
		return "", &FormatError{fmt.Sprintf("the format %q is unknown: use one of %s", name, formatNames)}
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson", ".json", "":
		return JSONL, nil
	case ".txt":
		return Text, nil
	case ".csv":
		return CSV, nil
	case ".tsv":
		return TSV, nil
	case ".parquet", ".pq":
		return Parquet, nil
	}
	return "", &FormatError{fmt.Sprintf("the ending of %s says nothing about its format: name it with --format, one of %s", path, formatNames)}
}

// FormatError: the input as a whole is not what it was taken for.
type FormatError struct{ Reason string }

func (e *FormatError) Error() string { return "input: " + e.Reason }

// Columns says which columns of a table are used.
type Columns struct {
	Prompt string // name of the column with the prompt
	ID     string // of the column with the id; "" = custom_id or id where there is one, else the record's number
}

// defaultIDs are taken when no id column is named.
var defaultIDs = []string{"custom_id", "id"}

// find picks the columns' places among the names of a table; id is -1 for none.
func (c Columns) find(names []string) (prompt, id int, err error) {
	if prompt = slices.Index(names, c.Prompt); prompt < 0 {
		return 0, 0, &FormatError{fmt.Sprintf("there is no column %q for the prompts; there are %s: name one with --column", c.Prompt, shown(names))}
	}
	if c.ID != "" {
		if id = slices.Index(names, c.ID); id < 0 {
			return 0, 0, &FormatError{fmt.Sprintf("there is no column %q for the ids; there are %s: name one with --id-column", c.ID, shown(names))}
		}
		return prompt, id, nil
	}
	for _, name := range defaultIDs {
		if id = slices.Index(names, name); id >= 0 && id != prompt {
			return prompt, id, nil
		}
	}
	return prompt, -1, nil
}

// shown keeps messages about wide tables readable.
func shown(names []string) string {
	const most = 20
	text := fmt.Sprintf("%q", names[:min(len(names), most)])
	return text[1 : len(text)-1]
}

// numbered is the id of a record that has none.
func numbered(kind string, n int64) string { return fmt.Sprintf("%s-%d", kind, n) }
