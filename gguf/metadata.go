package gguf

import (
	"fmt"
	"math"
	"slices"
)

// Metadata is the file's key/value list, in file order. It stays usable after
// the file was closed.
type Metadata struct {
	file  string
	keys  []string
	vals  []Value
	index map[string]int
}

// Keys lists all keys in file order.
func (m *Metadata) Keys() []string { return slices.Clone(m.keys) }

// Get finds a value of any type.
func (m *Metadata) Get(key string) (Value, bool) {
	i, ok := m.index[key]
	if !ok {
		return Value{}, false
	}
	return m.vals[i], true
}

// add appends a value; the caller has looked for duplicates.
func (m *Metadata) add(key string, v Value) {
	m.index[key] = len(m.keys)
	m.keys = append(m.keys, key)
	m.vals = append(m.vals, v)
}

// need finds a value or says that it is missing.
func (m *Metadata) need(key string) (Value, error) {
	v, ok := m.Get(key)
	if !ok {
		return v, fmt.Errorf("gguf: %s: %w %q; the file was made for another use or by an incomplete converter", m.file, ErrNoKey, key)
	}
	return v, nil
}

func (m *Metadata) wrong(key, want, got string) error {
	return &KeyError{File: m.file, Key: key, Want: want, Got: got}
}

// describe is a value's type and size for a KeyError.
func describe(v Value) string {
	if v.typ == ValueArray {
		return fmt.Sprintf("array of %v with %d elements", v.elem, v.n)
	}
	return v.typ.String()
}

// scalar finds a single value and converts it with as.
func scalar[T any](m *Metadata, key, want string, as func(any) (T, bool)) (T, error) {
	var none T
	v, err := m.need(key)
	if err != nil {
		return none, err
	}
	if v.typ == ValueArray {
		return none, m.wrong(key, want, describe(v))
	}
	out, ok := as(v.Any())
	if !ok {
		got := describe(v)
		if v.typ != ValueString {
			got += " " + v.String()
		}
		return none, m.wrong(key, want, got)
	}
	return out, nil
}

// Str returns a string. As with all getters, a missing key gives an error
// matching ErrNoKey, a value of another type or range a *KeyError.
func (m *Metadata) Str(key string) (string, error) {
	return scalar(m, key, "a string", func(x any) (string, bool) { s, ok := x.(string); return s, ok })
}

// Uint returns an integer of any width that is not negative.
func (m *Metadata) Uint(key string) (uint64, error) {
	return scalar(m, key, "an integer that is not negative", func(x any) (uint64, bool) {
		if u, ok := x.(uint64); ok {
			return u, true
		}
		i, ok := asInt(x)
		return uint64(i), ok && i >= 0
	})
}

// Float returns a float of any width.
func (m *Metadata) Float(key string) (float64, error) {
	return scalar(m, key, "a float", func(x any) (float64, bool) {
		switch f := x.(type) {
		case float32:
			return float64(f), true
		case float64:
			return f, true
		}
		return 0, false
	})
}

// Bool returns a bool.
func (m *Metadata) Bool(key string) (bool, error) {
	return scalar(m, key, "a bool", func(x any) (bool, bool) { b, ok := x.(bool); return b, ok })
}

// array finds an array whose elements satisfy is.
func (m *Metadata) array(key, want string, is func(ValueType) bool) (Value, error) {
	v, err := m.need(key)
	if err != nil {
		return v, err
	}
	if v.typ != ValueArray || !is(v.elem) {
		return v, m.wrong(key, want, describe(v))
	}
	return v, nil
}

// Strings returns an array of strings. They are views of one block of memory
// that lives as long as any of them.
func (m *Metadata) Strings(key string) ([]string, error) {
	v, err := m.array(key, "an array of strings", func(t ValueType) bool { return t == ValueString })
	if err != nil {
		return nil, err
	}
	return v.strings(), nil
}

// Ints returns an array of integers of any width. An element above 2⁶³−1 is a
// *KeyError.
func (m *Metadata) Ints(key string) ([]int64, error) {
	const want = "an array of integers"
	v, err := m.array(key, want, isInteger)
	if err != nil {
		return nil, err
	}
	switch x := v.Any().(type) {
	case []uint8:
		return widen[int64](x), nil
	case []int8:
		return widen[int64](x), nil
	case []uint16:
		return widen[int64](x), nil
	case []int16:
		return widen[int64](x), nil
	case []uint32:
		return widen[int64](x), nil
	case []int32:
		return widen[int64](x), nil
	case []int64:
		return x, nil
	case []uint64:
		if i := slices.IndexFunc(x, func(u uint64) bool { return u > math.MaxInt64 }); i >= 0 {
			return nil, m.wrong(key, want+" below 2^63", fmt.Sprintf("%d at index %d", x[i], i))
		}
		return widen[int64](x), nil
	}
	return nil, m.wrong(key, want, describe(v))
}

// Floats returns an array of floats; doubles are rounded to float32.
func (m *Metadata) Floats(key string) ([]float32, error) {
	const want = "an array of floats"
	v, err := m.array(key, want, func(t ValueType) bool { return t == ValueFloat32 || t == ValueFloat64 })
	if err != nil {
		return nil, err
	}
	if x, ok := v.Any().([]float64); ok {
		return widen[float32](x), nil
	}
	return v.Any().([]float32), nil
}

type number interface {
	~uint8 | ~int8 | ~uint16 | ~int16 | ~uint32 | ~int32 | ~uint64 | ~int64 | ~float32 | ~float64
}

func widen[To, From number](in []From) []To {
	out := make([]To, len(in))
	for i, x := range in {
		out[i] = To(x)
	}
	return out
}

func isInteger(t ValueType) bool {
	return t < ValueFloat32 || t == ValueUint64 || t == ValueInt64
}

// asInt widens every integer but uint64.
func asInt(x any) (int64, bool) {
	switch i := x.(type) {
	case uint8:
		return int64(i), true
	case int8:
		return int64(i), true
	case uint16:
		return int64(i), true
	case int16:
		return int64(i), true
	case uint32:
		return int64(i), true
	case int32:
		return int64(i), true
	case int64:
		return i, true
	}
	return 0, false
}
