package quantkern

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCodecLookup(t *testing.T) {
	want := []string{"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ2_S", "TQ1_0", "TQ2_0", "I2_S", "I2_S_B", "I2_S_C", "TL1", "TL2", "Q2_0", "Q2_0_128", "IQ1_BN", "IQ2_BN"}
	if diff := cmp.Diff(want, Names()); diff != "" {
		t.Error(diff)
	}
	for _, name := range want {
		if c := mustLookup(t, name); c.Name != name {
			t.Errorf("%s found %s", name, c.Name)
		}
	}
	if _, err := Lookup("IQ1_M"); !errors.Is(err, ErrUnknownType) {
		t.Errorf("got %v", err)
	}
}

func TestCodecSize(t *testing.T) {
	for _, c := range []struct {
		name       string
		rows, cols int
		want       int
	}{
		{"F32", 3, 5, 60}, {"F16", 3, 5, 30}, {"BF16", 1, 1, 2},
		{"Q4_0", 2, 64, 72}, {"Q4_1", 1, 32, 20}, {"Q5_0", 1, 32, 22}, {"Q5_1", 1, 32, 24}, {"Q8_0", 1, 32, 34},
		{"Q4_K", 1, 256, 144}, {"Q5_K", 1, 256, 176}, {"Q6_K", 2, 512, 840}, {"IQ2_S", 1, 256, 82},
		{"TQ1_0", 1, 512, 108}, {"TQ2_0", 1, 512, 132},
		{"I2_S", 4, 256, 288}, {"I2_S_B", 1, 64, 48}, {"I2_S_C", 4, 3, 35}, {"I2_S", 0, 128, 32},
		{"TL1", 32, 64, 544}, {"TL2", 32, 320, 2528}, {"TL2", 64, 288, 4576}, {"TL2", 32, 384, 2944},
		{"Q2_0", 1, 128, 36}, {"Q2_0_128", 1, 128, 34}, {"IQ1_BN", 3, 128, 84}, {"IQ2_BN", 3, 128, 108},
	} {
		if got := mustLookup(t, c.name).Size(c.rows, c.cols); got != c.want {
			t.Errorf("%s %d × %d: %d bytes, want %d", c.name, c.rows, c.cols, got, c.want)
		}
	}
}

func TestCodecShapes(t *testing.T) {
	for _, c := range []struct {
		name       string
		rows, cols int
		ok         bool
	}{
		{"F32", 0, 0, true}, {"F32", -1, 4, false}, {"F32", 1, -4, false}, {"F32", math.MaxInt / 2, 16, false},
		{"Q4_0", 1, 33, false}, {"Q6_K", 1, 128, false}, {"TQ1_0", 1, 128, false}, {"TQ2_0", 7, 768, true},
		{"I2_S", 1, 64, false}, {"I2_S_B", 1, 64, true}, {"I2_S_C", 4, 1, true}, {"I2_S_C", 3, 128, false},
	} {
		err := mustLookup(t, c.name).Check(c.rows, c.cols)
		var shape *ShapeError
		if c.ok && err != nil || !c.ok && !errors.As(err, &shape) {
			t.Errorf("%s %d × %d: %v", c.name, c.rows, c.cols, err)
		}
	}
}

func TestCodecEncodeErrors(t *testing.T) {
	var shape *ShapeError
	var short *ShortError
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, name := range []string{"Q5_0", "Q5_1", "Q4_K", "Q5_K"} {
		c := mustLookup(t, name)
		if err := c.Encode(make([]byte, 400), make([]float32, 256), 1, 256); !errors.Is(err, ErrNoEncoder) || c.CanEncode() {
			t.Errorf("%s: %v", name, err)
		}
	}
	i2s := mustLookup(t, "I2_S_B")
	if err := i2s.Encode(make([]byte, 48), make([]float32, 64), 1, 64); !errors.As(err, &shape) {
		t.Errorf("64 columns: %v", err)
	}
	if err := mustLookup(t, "Q8_0").Encode(make([]byte, 99), make([]float32, 33), 1, 33); !errors.As(err, &shape) {
		t.Errorf("33 columns: %v", err)
	}
	if err := i2s.Encode(make([]byte, 63), make([]float32, 128), 1, 128); !errors.As(err, &short) || short.Want != 64 {
		t.Errorf("short bytes: %v", err)
	}
	if err := i2s.Encode(make([]byte, 64), make([]float32, 127), 1, 128); !errors.As(err, &short) || short.Want != 128 {
		t.Errorf("short values: %v", err)
	}
	for _, c := range []struct {
		name  string
		value float32
	}{
		{"F16", 65520}, {"BF16", math.MaxFloat32}, // would become infinite
		{"Q8_0", nan}, {"Q8_0", inf}, {"Q8_0", 1e7}, {"Q4_0", nan}, {"Q4_0", 1e6}, {"Q4_1", -inf}, {"Q4_1", 1e6}, {"Q4_1", -7e4},
		{"Q6_K", nan}, {"Q6_K", 1e9}, {"Q6_K", 1e20}, {"Q6_K", math.MaxFloat32},
		{"TQ1_0", nan}, {"TQ2_0", 1e5},
		{"I2_S", nan}, {"I2_S_B", inf}, {"I2_S_C", 0.25},
	} {
		codec := mustLookup(t, c.name)
		src := make([]float32, 4*512)
		src[0], src[2*512+300] = 1, c.value
		err := codec.Encode(make([]byte, codec.Size(4, 512)), src, 4, 512)
		var value *ValueError
		if !errors.As(err, &value) || value.Codec != c.name || value.Row != 2 || value.Col/256 != 1 {
			t.Errorf("%s with %v: %v", c.name, c.value, err)
		}
	}
}

// TestCodecErrorTexts: a message says which type, where, and what to do.
func TestCodecErrorTexts(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
	}{
		{&ShapeError{"I2_S", 3, 100, "the rule"}, []string{"quantkern: I2_S", "3 rows", "100 columns", "the rule", "choose"}},
		{&ShortError{"TQ1_0", "packed bytes", 10, 54}, []string{"quantkern: TQ1_0", "10 packed bytes", "54", "check"}},
		{&ValueError{"Q8_0", 7, 9, 1e30, "the reason"}, []string{"quantkern: Q8_0", "row 7", "column 9", "1e+30", "the reason"}},
	} {
		for _, part := range c.want {
			if !strings.Contains(c.err.Error(), part) {
				t.Errorf("%q does not say %q", c.err, part)
			}
		}
	}
}

// TestCodecEmpty: matrices without values are legal in files.
func TestCodecEmpty(t *testing.T) {
	for _, c := range codecs {
		for _, shape := range [][2]int{{0, 256}, {4, 0}, {0, 0}} {
			rows, cols := shape[0], shape[1]
			data := make([]byte, c.Size(rows, cols))
			if err := c.Encode(data, nil, rows, cols); c.CanEncode() && err != nil {
				t.Errorf("%s %d × %d: %v", c.Name, rows, cols, err)
			}
			if rows > 0 {
				c.Decode(nil, data, rows, cols, 0)
			}
			if !c.Ternary {
				continue
			}
			if m, err := NewTernary(c, data, rows, cols); err != nil || !m.Uniform || m.Scale != 0 || m.Undefined() != 0 {
				t.Errorf("%s %d × %d: %+v, %v", c.Name, rows, cols, m, err)
			}
		}
	}
}

// TestCodecI2SZero: what is below 10^-6 is zero unless the scale is as small.
func TestCodecI2SZero(t *testing.T) {
	c := mustLookup(t, "I2_S")
	src := make([]float32, 128)
	out := make([]float32, 128)
	data := make([]byte, 64)
	for _, v := range []struct {
		scale, small float32
		ok           bool
	}{{1, 9e-7, true}, {1, 1.1e-6, false}, {5e-7, 0, true}, {5e-7, 4e-7, false}, {0, 0, true}} {
		src[0], src[1], src[2] = v.scale, -v.scale, v.small
		err := c.Encode(data, src, 1, 128)
		if (err == nil) != v.ok {
			t.Errorf("scale %v with %v: %v", v.scale, v.small, err)
		}
		if err == nil {
			if c.Decode(out, data, 1, 128, 0); out[0] != v.scale || out[1] != -v.scale || out[2] != 0 {
				t.Errorf("scale %v: %v", v.scale, out[:3])
			}
		}
	}
}

// drawMatrix makes a matrix of whole blocks: ternary values for ternary types,
// otherwise values spread over ± a scale that may be as small as f16 goes.
func drawMatrix(t *rapid.T, c *Codec) (src []float32, rows, cols int) {
	rows = rapid.SampledFrom([]int{4, 8}).Draw(t, "rows")
	if c.tiled() {
		rows *= 8
	}
	cols = 256 * rapid.IntRange(1, 3).Draw(t, "blocks")
	seed := rapid.Uint64().Draw(t, "seed")
	scale := F16ToF32(uint16(rapid.IntRange(1, 0x6fff).Draw(t, "scale")))
	src = make([]float32, rows*cols)
	for i := range src {
		seed = seed*6364136223846793005 + 1442695040888963407
		if c.Ternary {
			src[i] = float32(int(seed>>33)%3-1) * scale
		} else {
			src[i] = float32(int32(seed>>32)) * 0x1p-31 * scale
		}
	}
	return src, rows, cols
}

func decodeAll(c *Codec, data []byte, rows, cols int) []float32 {
	out := make([]float32, rows*cols)
	for r := range rows {
		c.Decode(out[r*cols:(r+1)*cols], data, rows, cols, r)
	}
	return out
}

// TestCodecRoundTrip encodes, decodes and compares: exactly for F32 and ternary
// types, within the stated part of the block's largest magnitude for others.
func TestCodecRoundTrip(t *testing.T) {
	// A subnormal f16 scale is off by up to 2^-25, units times over.
	type limit struct{ part, units float64 }
	bounds := map[string]limit{
		"F32": {}, "F16": {1.0 / 2048, 1}, "BF16": {1.0 / 256, 0}, "Q8_0": {1.0/254 + 1e-3, 127}, "Q4_0": {1.0/8 + 1e-3, 8},
		"Q4_1": {2.0/30 + 1e-3, 16}, "Q6_K": {1.0 / 24, 4096}, "TQ1_0": {}, "TQ2_0": {}, "I2_S": {}, "I2_S_B": {}, "I2_S_C": {},
		"IQ2_S": {0.75, 300}, "TL1": {}, "TL2": {}, "Q2_0": {}, "Q2_0_128": {}, "IQ1_BN": {}, "IQ2_BN": {},
	}
	for _, c := range codecs {
		bound, ok := bounds[c.Name]
		if ok != c.CanEncode() {
			t.Errorf("%s: has bound %v, can encode %v", c.Name, ok, c.CanEncode())
		}
		if !ok {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				src, rows, cols := drawMatrix(t, c)
				data := make([]byte, c.Size(rows, cols))
				if err := c.Encode(data, src, rows, cols); err != nil {
					t.Fatal(err)
				}
				got := decodeAll(c, data, rows, cols)
				if bound == (limit{}) {
					for i := range src {
						if got[i] != src[i] {
							t.Fatalf("value %d: %v, want %v", i, got[i], src[i])
						}
					}
					return
				}
				step := max(c.BlockValues, 1)
				for i := 0; i < len(src); i += step {
					most := slices.Max(mapAbs(src[i : i+step]))
					for j := i; j < i+step; j++ {
						allowed := float64(bound.part*most) + float64(bound.units*0x1p-25)
						if d := math.Abs(float64(got[j]) - float64(src[j])); d > allowed {
							t.Fatalf("value %d: %v, want %v ± %v", j, got[j], src[j], allowed)
						}
					}
				}
				if c.BlockValues == 1 {
					again := make([]byte, len(data))
					if err := c.Encode(again, got, rows, cols); err != nil || !slices.Equal(again, data) {
						t.Fatalf("a second encoding differs (%v)", err)
					}
				}
			})
		})
	}
}

func mapAbs(v []float32) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = math.Abs(float64(v[i]))
	}
	return out
}

// TestCodecRowsApart: a row decodes the same alone as in a larger matrix.
func TestCodecRowsApart(t *testing.T) {
	for _, v := range readBlockVectors(t).Dequant {
		one := mustHex(t, v.Hex)
		for _, c := range codecs {
			if c.BlockBytes != len(one) || c.BlockValues != len(v.Values) {
				continue
			}
			want := decodeAll(c, one, 1, c.BlockValues)
			data := slices.Repeat(one, 6)
			got := decodeAll(c, data, 2, 3*c.BlockValues)
			if diff := cmp.Diff(slices.Repeat(want, 6), got, sameBits); diff != "" {
				t.Errorf("%s: %s", c.Name, diff)
			}
		}
	}
}

func TestCodecPanicsOnWrongRow(t *testing.T) {
	c := mustLookup(t, "F32")
	for _, f := range []func(){
		func() { c.Decode(make([]float32, 4), make([]byte, 32), 2, 4, 2) },
		func() { c.Decode(make([]float32, 4), make([]byte, 32), 2, 4, -1) },
		func() { c.Decode(make([]float32, 3), make([]byte, 32), 2, 4, 0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}

// TestRoundAway compares with math.Round at and around every half.
func TestRoundAway(t *testing.T) {
	check := func(v float32) {
		if got, want := roundAway(v), int(math.Round(float64(v))); got != want {
			t.Fatalf("%v (%08x) becomes %d, want %d", v, math.Float32bits(v), got, want)
		}
	}
	for i := range 256 {
		for _, v := range []float32{float32(i) / 2, float32(i) / -2} {
			check(v)
			check(math.Nextafter32(v, 1000))
			check(math.Nextafter32(v, -1000))
		}
	}
	for b := uint64(0); b < 1<<32; b += 9973 {
		if v := math.Float32frombits(uint32(b)); abs32(v) < 1<<31 {
			check(v)
		}
	}
}
