package input

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// table reads a CSV file whose first record names the columns.
type table struct {
	r      *csv.Reader
	in     *meter
	total  int64
	prompt int
	id     int // -1 = none
	fields int
	record int64
}

// NewCSV reads a table with a head line, its fields parted by comma. total is
// the size in bytes, 0 if unknown.
func NewCSV(r io.ReadCloser, comma rune, c Columns, total int64) (Source, error) {
	in := &meter{r: r}
	t := &table{r: csv.NewReader(in), in: in, total: total}
	t.r.Comma = comma
	t.r.FieldsPerRecord = -1
	in.left = MostBytes
	names, err := t.r.Read()
	if err != nil {
		return nil, errors.Join(&FormatError{fmt.Sprintf("the first line must name the columns: %v", err)}, r.Close())
	}
	names[0] = strings.TrimPrefix(names[0], string(byteOrderMark))
	if t.prompt, t.id, err = c.find(names); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	t.fields = len(names)
	t.r.ReuseRecord = true
	return t, nil
}

func (t *table) Read() (n, total int64) { return t.in.n, t.total }
func (t *table) Close() error           { return t.in.r.Close() }

func (t *table) Next() (Item, error) {
	t.in.left = MostBytes
	rec, err := t.r.Read()
	var pe *csv.ParseError
	switch {
	case errors.Is(err, errRecordTooLong):
		// The place where the next record begins is not known: a quote that was
		// never closed takes the rest of the file with it.
		return Item{}, &FormatError{fmt.Sprintf("record %d is longer than %d MiB: a quote may not be closed", t.record+1, MostBytes>>20)}
	case errors.As(err, &pe):
		t.record++
		return Item{
			Line: t.record, ID: numbered("row", t.record),
			Fault: &Fault{"invalid_record", fmt.Sprintf("the record is not CSV: %v", pe.Err)},
		}, nil
	case err != nil:
		return Item{}, err
	}
	t.record++
	it := Item{Line: t.record, ID: numbered("row", t.record)}
	if len(rec) != t.fields {
		it.Text = []byte(strings.Join(rec, string(t.r.Comma)))
		it.Fault = &Fault{"invalid_record", fmt.Sprintf("the record has %d fields, the first line names %d", len(rec), t.fields)}
		return it, nil
	}
	it.Text = []byte(rec[t.prompt])
	if t.id >= 0 {
		it.ID = strings.Clone(rec[t.id])
	}
	return it, nil
}

var errRecordTooLong = errors.New("the record is too long")

// meter counts what is read and bounds what one record may take.
type meter struct {
	r    io.ReadCloser
	n    int64
	left int64
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	m.left -= int64(n)
	return n, err
}
