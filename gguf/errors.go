package gguf

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of *FormatError, for errors.Is.
var (
	ErrNotGGUF   = errors.New("not a GGUF file")
	ErrBigEndian = errors.New("big-endian file")
	ErrVersion   = errors.New("unsupported version")
	ErrTruncated = errors.New("file ends too early")
	ErrLimit     = errors.New("value beyond the format's limits")
	ErrKey       = errors.New("bad key")
	ErrDuplicate = errors.New("duplicate name")
	ErrType      = errors.New("unknown or unsupported type")
	ErrAlignment = errors.New("bad alignment")
	ErrShape     = errors.New("bad tensor shape")
	ErrBounds    = errors.New("tensor outside the file")
	ErrOverlap   = errors.New("tensors overlap")
	ErrAmbiguous = errors.New("ambiguous tensor type")
	ErrSplit     = errors.New("parts of a split file do not belong together")
)

// Errors of use rather than of content.
var (
	// ErrNoKey is matched by the error of a getter whose key is not in the file.
	ErrNoKey = errors.New("no such key")
	// ErrOption is matched when an Options field has an unknown value.
	ErrOption = errors.New("bad option")
	// ErrSize is matched by a *SizeError.
	ErrSize = errors.New("wrong number of bytes")
	// ErrOrder is matched when a Writer's methods are called in an order that
	// a streaming file does not allow.
	ErrOrder = errors.New("wrong order of calls")
)

// FormatError says where a file breaks which rule.
type FormatError struct {
	File   string // path or name; "" from Type.Size
	Offset uint64 // byte in File where the offending field begins
	Field  string // the field, "" when the file as a whole is meant
	Key    string // metadata key, "" outside metadata
	Tensor string // tensor name, "" outside tensor infos
	Kind   error  // one of the sentinels above
	Reason string // what is wrong, with the numbers
	Hint   string // what to do about it, may be ""
	Err    error  // a cause beside Kind (a file that cannot be opened), may be nil
}

// Error names file, place, rule and remedy in one line.
func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString("gguf: ")
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	if e.Key != "" {
		fmt.Fprintf(&b, "key %q: ", shorten(e.Key))
	}
	if e.Tensor != "" {
		fmt.Fprintf(&b, "tensor %q: ", shorten(e.Tensor))
	}
	if e.Field != "" {
		fmt.Fprintf(&b, "%s at byte %d: ", e.Field, e.Offset)
	}
	fmt.Fprintf(&b, "%v: %s", e.Kind, e.Reason)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives errors.Is the kind and the cause.
func (e *FormatError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// KeyError is a metadata value that is not of the wanted type or range.
type KeyError struct {
	File string
	Key  string
	Want string // "an unsigned integer"
	Got  string // "string", "array of i32 with 12 elements", "i32 -1"
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("gguf: %s: key %q: want %s, file has %s; the file was written wrongly for this use", e.File, e.Key, e.Want, e.Got)
}

// FaultError is a mapped file that could not be read.
type FaultError struct {
	File   string
	Tensor string // "" when the fault was in the header or between tensors
	Offset uint64 // byte in File
}

func (e *FaultError) Error() string {
	where := "header or padding"
	if e.Tensor != "" {
		where = fmt.Sprintf("tensor %q", e.Tensor)
	}
	return fmt.Sprintf("gguf: %s: %s: cannot read byte %d of the mapped file: it became shorter or its disk failed; restore the file and load it again",
		e.File, where, e.Offset)
}

// SizeError is a tensor whose data is not as long as its announcement.
type SizeError struct {
	Tensor string
	Want   uint64 // bytes of the announced type and shape
	Got    uint64 // bytes that came, Want+1 standing for "more"
}

func (e *SizeError) Error() string {
	if e.Got > e.Want {
		return fmt.Sprintf("gguf: tensor %q: %v: more than the announced %d; announce the type and shape that are written", e.Tensor, ErrSize, e.Want)
	}
	return fmt.Sprintf("gguf: tensor %q: %v: announced %d, source ended after %d; announce the type and shape that are written", e.Tensor, ErrSize, e.Want, e.Got)
}

// Is makes a SizeError match ErrSize.
func (e *SizeError) Is(target error) bool { return target == ErrSize }

// shorten keeps hostile names from flooding a message.
func shorten(s string) string {
	const most = 96
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
