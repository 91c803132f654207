package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// ValueType is the type of a metadata value, numbered as in the file.
type ValueType uint32

// The metadata types of the format.
const (
	ValueUint8 ValueType = iota
	ValueInt8
	ValueUint16
	ValueInt16
	ValueUint32
	ValueInt32
	ValueFloat32
	ValueBool
	ValueString
	ValueArray
	ValueUint64
	ValueInt64
	ValueFloat64
	numValueTypes
)

// valueTable has each type's name and bytes; 0 bytes = not of fixed size.
var valueTable = [numValueTypes]struct {
	name  string
	bytes uint64
}{
	{"u8", 1}, {"i8", 1}, {"u16", 2}, {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
	{"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
}

// String returns the short name: "u32", "f32", "string" ...
func (v ValueType) String() string {
	if v >= numValueTypes {
		return fmt.Sprintf("ValueType(%d)", uint32(v))
	}
	return valueTable[v].name
}

// Value is one metadata value: a view of the header's bytes. Arrays are
// decoded when asked for; strings are views that stay valid after Close. The zero
// Value is that of a key which is not there.
type Value struct {
	typ  ValueType
	elem ValueType
	n    int
	raw  []byte // little-endian; a string without its length; array elements without type and count
}

// Type is the value's type.
func (v Value) Type() ValueType { return v.typ }

// ElemType is the type of an array's elements; of another value, its own type.
func (v Value) ElemType() ValueType { return v.elem }

// Len is the number of elements of an array; 1 otherwise.
func (v Value) Len() int { return v.n }

// Any returns the value as uint8 ... float64, bool or string, an array as a
// new slice of those; the zero Value as nil.
func (v Value) Any() any {
	array := v.typ == ValueArray
	if v.n == 0 && !array {
		return nil
	}
	switch v.elem {
	case ValueUint8:
		return one(array, decode(v, func(b []byte) uint8 { return b[0] }))
	case ValueInt8:
		return one(array, decode(v, func(b []byte) int8 { return int8(b[0]) }))
	case ValueUint16:
		return one(array, decode(v, binary.LittleEndian.Uint16))
	case ValueInt16:
		return one(array, decode(v, func(b []byte) int16 { return int16(binary.LittleEndian.Uint16(b)) }))
	case ValueUint32:
		return one(array, decode(v, binary.LittleEndian.Uint32))
	case ValueInt32:
		return one(array, decode(v, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) }))
	case ValueFloat32:
		return one(array, decode(v, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }))
	case ValueBool:
		// llama.cpp takes every byte but 0 for true.
		return one(array, decode(v, func(b []byte) bool { return b[0] != 0 }))
	case ValueUint64:
		return one(array, decode(v, binary.LittleEndian.Uint64))
	case ValueInt64:
		return one(array, decode(v, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) }))
	case ValueFloat64:
		return one(array, decode(v, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }))
	case ValueString:
		return one(array, v.strings())
	}
	return nil
}

// decode reads all elements of fixed size.
func decode[T any](v Value, get func([]byte) T) []T {
	size := int(valueTable[v.elem].bytes)
	out := make([]T, v.n)
	for i := range out {
		out[i] = get(v.raw[i*size:])
	}
	return out
}

// one turns the slice of a value that is no array into its element.
func one[T any](array bool, s []T) any {
	if array {
		return s
	}
	return s[0]
}

// strings decodes a string or an array of strings. The bounds were checked
// when the header was parsed.
func (v Value) strings() []string {
	if v.typ == ValueString {
		return []string{view(v.raw)}
	}
	out := make([]string, v.n)
	rest := v.raw
	for i := range out {
		n := binary.LittleEndian.Uint64(rest)
		out[i] = view(rest[8 : 8+n])
		rest = rest[8+n:]
	}
	return out
}

// view makes a string of header bytes without copying them; nothing writes to
// the header after it was read.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// String is short, for people: strings are quoted and cut, long arrays show
// their first elements and their length.
func (v Value) String() string {
	const elements, runes = 6, 80
	if v.typ == ValueString {
		return quote(view(v.raw), runes)
	}
	if v.typ != ValueArray {
		return fmt.Sprint(v.Any())
	}
	var b strings.Builder
	b.WriteByte('[')
	head := v
	head.n = min(v.n, elements)
	switch first := head.Any().(type) {
	case []string:
		for i, s := range first {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quote(s, runes/4))
		}
	default:
		list := strings.Fields(strings.Trim(fmt.Sprint(first), "[]"))
		b.WriteString(strings.Join(list, ", "))
	}
	if v.n > elements {
		fmt.Fprintf(&b, ", … %d in all", v.n)
	}
	b.WriteByte(']')
	return b.String()
}

// quote shows at most most runes of s.
func quote(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return strconv.Quote(s[:i]) + "…"
		}
		n++
	}
	return strconv.Quote(s)
}
