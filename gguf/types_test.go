package gguf_test

import (
	"errors"
	"strings"
	"testing"

	"tritflow/gguf"
)

func TestTypeTable(t *testing.T) {
	seen := map[string]bool{}
	for _, typ := range gguf.Types() {
		name := typ.String()
		if name == "" || seen[name] {
			t.Errorf("type %d: name %q is empty or not unique", typ, name)
		}
		seen[name] = true
		for _, n := range []string{name, strings.ToLower(name)} {
			if got, ok := gguf.TypeByName(n); !ok || got != typ {
				t.Errorf("TypeByName(%q) = %v, %v", n, got, ok)
			}
		}
		if typ.BlockElements() == 0 {
			t.Errorf("%v: block of 0", typ)
		}
	}
	for _, n := range []string{"", "none", "I2", "Q9_9"} {
		if got, ok := gguf.TypeByName(n); ok {
			t.Errorf("TypeByName(%q) = %v", n, got)
		}
	}
}

// Sizes of the official 2B-4T file, of tests/vectors elsewhere in the project
// and of ggml's type traits (bytes of one block).
func TestTypeSizes(t *testing.T) {
	cases := []struct {
		typ  string
		id   uint32
		dims []uint64
		want uint64
	}{
		{"F32", 0, nil, 4},
		{"F32", 0, []uint64{0, 3}, 0},
		{"F32", 0, []uint64{2, 3, 4, 5}, 480},
		{"F16", 1, []uint64{2560, 128256}, 656_670_720},
		{"BF16", 30, []uint64{3}, 6},
		{"F64", 28, []uint64{3}, 24},
		{"I8", 24, []uint64{3}, 3},
		{"I64", 27, []uint64{3}, 24},
		{"Q4_0", 2, []uint64{64, 2}, 72},
		{"Q4_1", 3, []uint64{32}, 20},
		{"Q5_0", 6, []uint64{32}, 22},
		{"Q5_1", 7, []uint64{32}, 24},
		{"Q8_0", 8, []uint64{32}, 34},
		{"Q8_1", 9, []uint64{32}, 36},
		{"Q2_K", 10, []uint64{256}, 84},
		{"Q3_K", 11, []uint64{256}, 110},
		{"Q4_K", 12, []uint64{256}, 144},
		{"Q5_K", 13, []uint64{256}, 176},
		{"Q6_K", 14, []uint64{512, 3}, 1260},
		{"Q8_K", 15, []uint64{256}, 292},
		{"IQ2_XXS", 16, []uint64{256}, 66},
		{"IQ2_XS", 17, []uint64{256}, 74},
		{"IQ3_XXS", 18, []uint64{256}, 98},
		{"IQ1_S", 19, []uint64{256}, 50},
		{"IQ4_NL", 20, []uint64{32}, 18},
		{"IQ3_S", 21, []uint64{256}, 110},
		{"IQ2_S", 22, []uint64{256}, 82},
		{"IQ4_XS", 23, []uint64{256}, 136},
		{"IQ1_M", 29, []uint64{256}, 56},
		{"TQ1_0", 34, []uint64{256, 4}, 216},
		{"TQ2_0", 35, []uint64{256, 4}, 264},
		{"I2_S", 36, []uint64{2560, 2560}, 1_638_432},
		{"I2_S", 36, []uint64{2560, 6912}, 4_423_712},
		{"I2_S", 36, []uint64{2560, 640}, 409_632},
		{"I2_S", 36, []uint64{256, 4}, 288},
		{"I2_S_B", 36, []uint64{64, 1}, 48},
		{"I2_S_C", 36, []uint64{6, 4}, 38},
		{"TL1", 38, []uint64{64, 32}, 544},
		// (3200−256)·8640/3·5/8 + 256·8640/2·4/8 = 5,299,200 + 552,960; it is a multiple of 32; + 32
		{"TL2", 39, []uint64{3200, 8640}, 5_852_192},
		// 0 + 256·6/2·4/8 = 384; + 32
		{"TL2", 39, []uint64{256, 6}, 416},
		{"MXFP4", 39, []uint64{64}, 34},
		{"NVFP4", 40, []uint64{64}, 36},
		{"Q1_0", 41, []uint64{128}, 18},
		{"Q2_0", 42, []uint64{128, 2}, 72},
		{"Q2_0_128", 42, []uint64{128, 2}, 68},
		{"IQ1_BN", 134, []uint64{128, 3}, 84},
		{"IQ2_BN", 135, []uint64{128, 3}, 108},
		{"IQ2_BN_R4", 335, []uint64{128, 4}, 144},
	}
	for _, c := range cases {
		typ, ok := gguf.TypeByName(c.typ)
		if !ok {
			t.Errorf("no type %q", c.typ)
			continue
		}
		if got := typ.ID(); got != c.id {
			t.Errorf("%v: id %d, want %d", typ, got, c.id)
		}
		if got, err := typ.Size(c.dims); err != nil || got != c.want {
			t.Errorf("%v %v: size %d, %v, want %d", typ, c.dims, got, err, c.want)
		}
	}
}

func TestTypeRefusesShapes(t *testing.T) {
	cases := []struct {
		typ  gguf.Type
		dims []uint64
		want error
	}{
		{gguf.TypeNone, []uint64{1}, gguf.ErrType},
		{gguf.Type(255), []uint64{1}, gguf.ErrType},
		{gguf.TypeF32, []uint64{1, 1, 1, 1, 1}, gguf.ErrShape},
		{gguf.TypeF32, []uint64{1 << 61}, gguf.ErrLimit},
		{gguf.TypeF32, []uint64{1 << 30, 1 << 30, 2}, gguf.ErrLimit},
		{gguf.TypeQ8_0, []uint64{33}, gguf.ErrShape},
		{gguf.TypeI2_S, []uint64{64, 2}, gguf.ErrShape},
		{gguf.TypeI2_S_B, []uint64{32, 2}, gguf.ErrShape},
		{gguf.TypeI2_S_C, []uint64{128, 6}, gguf.ErrShape},
		{gguf.TypeTL2, []uint64{128, 6}, gguf.ErrShape},
		{gguf.TypeIQ2_BN_R4, []uint64{64, 6}, gguf.ErrShape},
	}
	for _, c := range cases {
		var fe *gguf.FormatError
		if n, err := c.typ.Size(c.dims); !errors.Is(err, c.want) || !errors.As(err, &fe) {
			t.Errorf("%v %v: got %d, %v, want an error matching %q", c.typ, c.dims, n, err, c.want)
		}
	}
}

// The largest shape must not wrap in any formula.
func TestSizesDoNotWrap(t *testing.T) {
	for _, typ := range gguf.Types() {
		small, err := typ.Size([]uint64{1 << 20, 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for _, dims := range [][]uint64{{1 << 30, 1 << 30}, {1 << 50, 1 << 10}, {256, 1 << 52}} {
			if large, err := typ.Size(dims); err != nil || large < small<<19 {
				t.Errorf("%v %v: size %d, %v; the size of 2^40 values is %d", typ, dims, large, err, small)
			}
		}
	}
}
