package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// mostBytes is more than any receipt has.
const mostBytes = 1 << 30

// FileError: a file is no receipt that can be used.
type FileError struct {
	Path   string
	Reason string
}

func (e *FileError) Error() string { return fmt.Sprintf("receipt %s: %s", e.Path, e.Reason) }

// seal is the SHA-256 of a receipt with an empty seal.
func (r *Receipt) seal() (string, error) {
	bare := *r
	bare.Seal = ""
	text, err := json.Marshal(&bare)
	if err != nil {
		return "", fmt.Errorf("receipt: encoding: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// sealRead is the seal of what a reader will find, which differs where JSON cannot hold
// a name: paths need not be UTF-8.
func (r *Receipt) sealRead() (string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("receipt: encoding: %w", err)
	}
	var read Receipt
	if err := json.Unmarshal(text, &read); err != nil {
		return "", fmt.Errorf("receipt: encoding: %w", err)
	}
	return read.seal()
}

// Write seals the receipt and writes it as JSON.
func (r *Receipt) Write(w io.Writer) (err error) {
	if r.Seal, err = r.sealRead(); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Read reads a receipt. A file that is not one, that is of another format or that does
// not match its seal is a *FileError.
func Read(path string) (*Receipt, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &FileError{path, err.Error()}
	}
	defer f.Close()
	return Parse(path, f)
}

// Parse reads a receipt; path is what errors call it.
func Parse(path string, r io.Reader) (*Receipt, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostBytes))
	if err != nil {
		return nil, &FileError{path, err.Error()}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var out Receipt
	var head struct {
		Format int `json:"tritflow_receipt"`
	}
	if err := json.Unmarshal(text, &head); err != nil || head.Format == 0 {
		return nil, &FileError{path, "it is no receipt: `tritflow run --receipt FILE` or `batch --receipt FILE` writes one"}
	}
	if head.Format != Format {
		return nil, &FileError{path, fmt.Sprintf("its format is %d, this program reads %d: use the program that wrote it", head.Format, Format)}
	}
	if err := d.Decode(&out); err != nil {
		return nil, &FileError{path, "it is damaged: " + err.Error()}
	}
	want, err := out.seal()
	if err != nil {
		return nil, &FileError{path, err.Error()}
	}
	switch {
	case out.Seal != want:
		return nil, &FileError{path, "it was changed after it was written: its seal does not match"}
	case (out.Run == nil) == (out.Batch == nil):
		return nil, &FileError{path, "it holds neither a run nor a batch"}
	}
	return &out, nil
}
