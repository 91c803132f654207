package quantkern

import (
	"errors"
	"fmt"
)

// Sentinels of the codecs, found through wrapping with errors.Is.
var (
	// ErrUnknownType: no codec has this name.
	ErrUnknownType = errors.New("unknown tensor type")
	// ErrNoEncoder: the type can be read but not written.
	ErrNoEncoder = errors.New("type has no encoder")
	// ErrNotTernary: the type does not hold trits.
	ErrNotTernary = errors.New("type is not ternary")
)

// ShapeError says that a codec cannot lay out a matrix of this shape.
type ShapeError struct {
	Codec      string
	Rows, Cols int
	Need       string // the rule that the shape breaks
}

func (e *ShapeError) Error() string {
	return fmt.Sprintf("quantkern: %s: a matrix of %d rows × %d columns cannot be packed: %s; choose another type for this tensor",
		e.Codec, e.Rows, e.Cols, e.Need)
}

// ShortError says that a slice is too short for the matrix.
type ShortError struct {
	Codec      string
	What       string // which slice: "packed bytes" or "values"
	Have, Want int    // lengths in bytes or values
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("quantkern: %s: %d %s where the matrix needs %d; check the shape or whether the file is cut off",
		e.Codec, e.Have, e.What, e.Want)
}

// ValueError says which value of a matrix a type cannot hold.
type ValueError struct {
	Codec    string
	Row, Col int
	Value    float32
	Reason   string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("quantkern: %s: row %d, column %d: %v cannot be held: %s", e.Codec, e.Row, e.Col, e.Value, e.Reason)
}
