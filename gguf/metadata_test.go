package gguf_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf"
)

// everyValue has one value and one array of each type of the format.
var everyValue = map[string]any{
	"u8": uint8(200), "i8": int8(-100), "u16": uint16(60000), "i16": int16(-30000),
	"u32": uint32(4e9), "i32": int32(-2e9), "u64": uint64(math.MaxUint64), "i64": int64(math.MinInt64),
	"f32": float32(1.5), "f64": math.Pi, "yes": true, "no": false, "s": "grüße\x00", "empty": "",
	"u8s": []uint8{0, 255}, "i8s": []int8{-128, 127}, "u16s": []uint16{1, 65535}, "i16s": []int16{-32768, 2},
	"u32s": []uint32{3, math.MaxUint32}, "i32s": []int32{math.MinInt32, 4}, "u64s": []uint64{5, 6},
	"i64s": []int64{math.MinInt64, 7}, "huge": []uint64{1, math.MaxUint64}, "f32s": []float32{-0.5, 1e30}, "f64s": []float64{0.25, -2},
	"bools": []bool{true, false, true}, "strings": []string{"a", "", "long \xff string"}, "none": []int32{},
}

func TestValues(t *testing.T) {
	f, err := gguf.Parse("values", written(t, everyValue), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := f.Metadata()
	if len(m.Keys()) != len(everyValue) {
		t.Errorf("%d keys, want %d", len(m.Keys()), len(everyValue))
	}
	for key, want := range everyValue {
		v, ok := m.Get(key)
		if !ok {
			t.Errorf("%s: missing", key)
			continue
		}
		if d := cmp.Diff(want, v.Any()); d != "" {
			t.Errorf("%s: %s", key, d)
		}
		if isArray := reflect.TypeOf(want).Kind() == reflect.Slice; isArray != (v.Type() == gguf.ValueArray) {
			t.Errorf("%s: type %v", key, v.Type())
		}
		if r := reflect.ValueOf(want); v.Type() == gguf.ValueArray && v.Len() != r.Len() || v.Type() != gguf.ValueArray && (v.Len() != 1 || v.ElemType() != v.Type()) {
			t.Errorf("%s: %d elements of %v", key, v.Len(), v.ElemType())
		}
	}
}

// getters calls each getter for a key and returns what it gave.
var getters = map[string]func(*gguf.Metadata, string) (any, error){
	"Str":     func(m *gguf.Metadata, k string) (any, error) { return m.Str(k) },
	"Uint":    func(m *gguf.Metadata, k string) (any, error) { return m.Uint(k) },
	"Float":   func(m *gguf.Metadata, k string) (any, error) { return m.Float(k) },
	"Bool":    func(m *gguf.Metadata, k string) (any, error) { return m.Bool(k) },
	"Strings": func(m *gguf.Metadata, k string) (any, error) { return m.Strings(k) },
	"Ints":    func(m *gguf.Metadata, k string) (any, error) { return m.Ints(k) },
	"Floats":  func(m *gguf.Metadata, k string) (any, error) { return m.Floats(k) },
}

func TestGetters(t *testing.T) {
	f, err := gguf.Parse("values", written(t, everyValue), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// What every getter gives for every key that it accepts; all other
	// combinations must be *KeyErrors.
	accepts := map[string]map[string]any{
		"Str":     {"s": "grüße\x00", "empty": ""},
		"Uint":    {"u8": uint64(200), "u16": uint64(60000), "u32": uint64(4e9), "u64": uint64(math.MaxUint64)},
		"Float":   {"f32": 1.5, "f64": math.Pi},
		"Bool":    {"yes": true, "no": false},
		"Strings": {"strings": []string{"a", "", "long \xff string"}},
		"Ints": {"u8s": []int64{0, 255}, "i8s": []int64{-128, 127}, "u16s": []int64{1, 65535}, "i16s": []int64{-32768, 2},
			"u32s": []int64{3, math.MaxUint32}, "i32s": []int64{math.MinInt32, 4}, "u64s": []int64{5, 6},
			"i64s": []int64{math.MinInt64, 7}, "none": []int64{}},
		"Floats": {"f32s": []float32{-0.5, 1e30}, "f64s": []float32{0.25, -2}},
	}
	for name, get := range getters {
		for key := range everyValue {
			got, err := get(f.Metadata(), key)
			want, ok := accepts[name][key]
			var ke *gguf.KeyError
			switch {
			case ok && err != nil:
				t.Errorf("%s(%s): %v", name, key, err)
			case ok:
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s(%s): %s", name, key, d)
				}
			case !errors.As(err, &ke) || ke.Key != key || ke.File != "values" || errors.Is(err, gguf.ErrNoKey):
				t.Errorf("%s(%s) = %v, %v; want a *KeyError", name, key, got, err)
			}
		}
		if _, err := get(f.Metadata(), "absent"); !errors.Is(err, gguf.ErrNoKey) || !strings.Contains(err.Error(), `"absent"`) {
			t.Errorf("%s(absent): %v", name, err)
		}
	}
}

func TestUintTakesSignedTypes(t *testing.T) {
	f, err := gguf.Parse("signed", written(t, map[string]any{"i8": int8(7), "i64": int64(1 << 40)}), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]uint64{"i8": 7, "i64": 1 << 40} {
		if got, err := f.Metadata().Uint(key); err != nil || got != want {
			t.Errorf("%s: %d, %v", key, got, err)
		}
	}
}

func TestValueStrings(t *testing.T) {
	long := make([]int32, 1000)
	f, err := gguf.Parse("text", written(t, map[string]any{
		"s": "a\x1b[31mb", "long": strings.Repeat("ü", 500), "ints": long, "few": []uint8{1, 2}, "texts": []string{"x y", "z"}, "n": uint32(7),
	}), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"s": `"a\x1b[31mb"`, "long": `"` + strings.Repeat("ü", 80) + `"…`, "ints": "[0, 0, 0, 0, 0, 0, … 1000 in all]",
		"few": "[1, 2]", "texts": `["x y", "z"]`, "n": "7",
	} {
		if v, _ := f.Metadata().Get(key); v.String() != want {
			t.Errorf("%s: %s, want %s", key, v, want)
		}
	}
	if v, ok := f.Metadata().Get("missing"); ok || v.Any() != nil || v.String() != "<nil>" {
		t.Errorf("a key that is not there: %v, %s, %v", v.Any(), v, ok)
	}
}

// Decoding an array of strings costs the slice, not its elements.
func TestStringsDoNotAllocateEach(t *testing.T) {
	tokens := make([]string, 5000)
	for i := range tokens {
		tokens[i] = strings.Repeat("t", i%50)
	}
	f, err := gguf.Parse("tokens", written(t, map[string]any{"tokens": tokens}), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() {
		if s, err := f.Metadata().Strings("tokens"); err != nil || len(s) != len(tokens) {
			t.Error(len(s), err)
		}
	}); n > 4 {
		t.Errorf("%v allocations", n)
	}
}
