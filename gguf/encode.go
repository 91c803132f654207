package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
)

// encode makes a Value of a Go value: integers, floats, bool, string, slices
// of them, or a Value taken from another file. int is written as i64, uint as u64.
func encode(x any) (Value, error) {
	if v, ok := x.(Value); ok && v.n >= 0 && v.typ < numValueTypes && v.raw != nil {
		return v, nil
	}
	r := reflect.ValueOf(x)
	if !r.IsValid() {
		return Value{}, fmt.Errorf("%w: no value", ErrType)
	}
	if r.Kind() != reflect.Slice {
		elem, err := valueType(r.Type())
		if err != nil {
			return Value{}, err
		}
		if elem == ValueString {
			return Value{typ: elem, elem: elem, n: 1, raw: []byte(r.String())}, blobLimit(r.Len())
		}
		return Value{typ: elem, elem: elem, n: 1, raw: appendScalar(nil, elem, r)}, nil
	}
	elem, err := valueType(r.Type().Elem())
	if err != nil {
		return Value{}, err
	}
	raw := []byte{}
	for i := range r.Len() {
		if e := r.Index(i); elem != ValueString {
			raw = appendScalar(raw, elem, e)
		} else {
			raw = appendString(raw, e.String())
		}
	}
	return Value{typ: ValueArray, elem: elem, n: r.Len(), raw: raw}, blobLimit(len(raw))
}

func blobLimit(n int) error {
	if n > maxBlob {
		return fmt.Errorf("%w: %d bytes, at most %d can be read back", ErrLimit, n, maxBlob)
	}
	return nil
}

// kinds maps Go's kinds to the file's types.
var kinds = map[reflect.Kind]ValueType{
	reflect.Uint8: ValueUint8, reflect.Int8: ValueInt8, reflect.Uint16: ValueUint16, reflect.Int16: ValueInt16,
	reflect.Uint32: ValueUint32, reflect.Int32: ValueInt32, reflect.Uint64: ValueUint64, reflect.Int64: ValueInt64,
	reflect.Uint: ValueUint64, reflect.Int: ValueInt64, reflect.Float32: ValueFloat32, reflect.Float64: ValueFloat64,
	reflect.Bool: ValueBool, reflect.String: ValueString,
}

func valueType(t reflect.Type) (ValueType, error) {
	v, ok := kinds[t.Kind()]
	if !ok {
		return 0, fmt.Errorf("%w: %v; use integers, floats, bool, string or slices of them", ErrType, t)
	}
	return v, nil
}

// appendScalar appends a value of fixed size.
func appendScalar(b []byte, typ ValueType, r reflect.Value) []byte {
	var bits uint64
	switch {
	case typ == ValueFloat32:
		// Through float64, as r.Float does it, a signalling NaN would become a
		// quiet one.
		bits = uint64(math.Float32bits(r.Convert(reflect.TypeFor[float32]()).Interface().(float32)))
	case typ == ValueFloat64:
		bits = math.Float64bits(r.Float())
	case r.CanInt():
		bits = uint64(r.Int())
	case r.CanUint():
		bits = r.Uint()
	case r.Bool():
		bits = 1
	}
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], bits)
	return append(b, le[:valueTable[typ].bytes]...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendKV appends a key and its value as they stand in a file.
func appendKV(b []byte, key string, v Value) []byte {
	b = appendString(b, key)
	b = binary.LittleEndian.AppendUint32(b, uint32(v.typ))
	switch v.typ {
	case ValueString:
		b = binary.LittleEndian.AppendUint64(b, uint64(len(v.raw)))
	case ValueArray:
		b = binary.LittleEndian.AppendUint32(b, uint32(v.elem))
		b = binary.LittleEndian.AppendUint64(b, uint64(v.n))
	}
	return append(b, v.raw...)
}
