package gguf

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Limits of the format (ggml's gguf.cpp and docs/gguf.md).
const (
	maxKey    = 65535   // bytes of a key
	maxName   = 63      // bytes of a tensor name
	maxBlob   = 1 << 30 // bytes of a string or an array
	maxCount  = 1 << 32 // keys or tensors
	maxHeader = 1 << 30 // bytes of all keys and tensor infos: they are copied into memory
	maxDims   = 4
	minKV     = 8 + 1 + 4 + 1 // bytes of the smallest key/value
	minTensor = 8 + 4 + 4 + 8 // bytes of the smallest tensor info
)

// cursor walks a header. It allocates nothing: what it returns are views.
type cursor struct {
	file   string
	data   []byte
	pos    uint64
	key    string // what is being read, for errors
	tensor string
}

func (c *cursor) left() uint64 { return uint64(len(c.data)) - c.pos }

// fail makes the error for a field that begins at byte at. Names are copied: an
// error outlives the mapping.
func (c *cursor) fail(kind error, at uint64, field, hint, reason string, args ...any) *FormatError {
	return &FormatError{File: c.file, Offset: at, Field: field, Key: strings.Clone(c.key), Tensor: strings.Clone(c.tensor),
		Kind: kind, Reason: fmt.Sprintf(reason, args...), Hint: hint}
}

const (
	hintTruncated = "the file is cut short or damaged; download it again"
	hintDamaged   = "the file is damaged; download or convert it again"
)

func (c *cursor) take(n uint64, field string) ([]byte, error) {
	if n > c.left() {
		return nil, c.fail(ErrTruncated, c.pos, field, hintTruncated, "needs %d bytes, %d are left", n, c.left())
	}
	b := c.data[c.pos : c.pos+n : c.pos+n]
	c.pos += n
	return b, nil
}

func (c *cursor) u32(field string) (uint32, error) {
	b, err := c.take(4, field)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) u64(field string) (uint64, error) {
	b, err := c.take(8, field)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// str reads a length of at most limit and that many bytes.
func (c *cursor) str(field string, limit uint64) ([]byte, error) {
	at := c.pos
	n, err := c.u64(field + " length")
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, c.fail(ErrLimit, at, field+" length", hintDamaged, "%d bytes, at most %d are allowed", n, limit)
	}
	return c.take(n, field)
}

// count reads a number of keys or tensors.
func (c *cursor) count(field string) (uint64, error) {
	at := c.pos
	n, err := c.u64(field)
	if err != nil {
		return 0, err
	}
	if n > maxCount {
		return 0, c.fail(ErrLimit, at, field, hintDamaged, "%d, at most %d are possible", n, uint64(maxCount))
	}
	return n, nil
}

// fits refuses a header that has become too long.
func (c *cursor) fits() error {
	if c.pos > maxHeader {
		return c.fail(ErrLimit, c.pos, "header", hintDamaged, "its keys and tensors take more than %d bytes", maxHeader)
	}
	return nil
}

// value reads a metadata value after its key.
func (c *cursor) value() (Value, error) {
	at := c.pos
	id, err := c.u32("value type")
	if err != nil {
		return Value{}, err
	}
	switch typ := ValueType(id); {
	case typ >= numValueTypes:
		return Value{}, c.fail(ErrType, at, "value type", hintDamaged, "metadata type %d does not exist", id)
	case typ == ValueString:
		raw, err := c.str("string", maxBlob)
		return Value{typ: typ, elem: typ, n: 1, raw: raw}, err
	case typ == ValueArray:
		return c.array()
	default:
		raw, err := c.take(valueTable[typ].bytes, "value")
		return Value{typ: typ, elem: typ, n: 1, raw: raw}, err
	}
}

// array reads an array's element type and count and walks its elements.
func (c *cursor) array() (Value, error) {
	at := c.pos
	id, err := c.u32("element type")
	if err != nil {
		return Value{}, err
	}
	elem := ValueType(id)
	if elem == ValueArray {
		return Value{}, c.fail(ErrType, at, "element type", "write the inner arrays under keys of their own", "arrays of arrays are not supported")
	}
	if elem >= numValueTypes {
		return Value{}, c.fail(ErrType, at, "element type", hintDamaged, "metadata type %d does not exist", id)
	}
	at = c.pos
	n, err := c.u64("array length")
	if err != nil {
		return Value{}, err
	}
	least := max(valueTable[elem].bytes, 1)
	if elem == ValueString {
		least = 8
	}
	if n > maxBlob/least {
		return Value{}, c.fail(ErrLimit, at, "array length", hintDamaged, "%d elements of %v, at most %d bytes are allowed", n, elem, maxBlob)
	}
	if n*least > c.left() {
		return Value{}, c.fail(ErrTruncated, at, "array length", hintTruncated, "%d elements of %v need at least %d bytes, %d are left", n, elem, n*least, c.left())
	}
	start := c.pos
	if elem != ValueString {
		c.pos += n * least
	} else {
		for range n {
			if _, err := c.str("array element", maxBlob); err != nil {
				return Value{}, err
			}
		}
	}
	return Value{typ: ValueArray, elem: elem, n: int(n), raw: c.data[start:c.pos:c.pos]}, nil
}
