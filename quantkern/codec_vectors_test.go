package quantkern

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// sameBits compares floats by their bits: a different zero is a difference.
var sameBits = cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) })

func mustLookup(t rapid.TB, name string) *Codec {
	t.Helper()
	c, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// blockVectors are outputs of ggml's reference routines.
type blockVectors struct {
	Dequant []struct {
		Type   string
		Hex    string
		Values []float32
	}
	Quant []struct {
		Type  string
		Input []float32
		Hex   string
	}
}

func readBlockVectors(t testing.TB) (v blockVectors) {
	readJSON(t, "testdata/ggml_blocks.json", &v)
	return v
}

func TestCodecDecodeVectors(t *testing.T) {
	vectors := readBlockVectors(t)
	if len(vectors.Dequant) != 11 {
		t.Fatalf("%d vectors, want 11", len(vectors.Dequant))
	}
	for _, v := range vectors.Dequant {
		t.Run(v.Type, func(t *testing.T) {
			c := mustLookup(t, strings.ToUpper(v.Type))
			data := mustHex(t, v.Hex)
			cols := len(v.Values)
			if got := c.Size(1, cols); got != len(data) {
				t.Fatalf("size %d, want %d", got, len(data))
			}
			got := make([]float32, cols)
			c.Decode(got, data, 1, cols, 0)
			for i := range got {
				// The file's numbers are printed with nine digits and -0 as 0.
				if got[i] != v.Values[i] {
					t.Errorf("value %d: %v, want %v", i, got[i], v.Values[i])
				}
			}
		})
	}
}

func TestCodecEncodeVectors(t *testing.T) {
	tested := 0
	for _, v := range readBlockVectors(t).Quant {
		c, err := Lookup(strings.ToUpper(v.Type))
		if err != nil || v.Hex == "" {
			continue // activation types of other engines
		}
		tested++
		t.Run(v.Type, func(t *testing.T) {
			got := make([]byte, c.Size(1, len(v.Input)))
			if err := c.Encode(got, v.Input, 1, len(v.Input)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(v.Hex, hex.EncodeToString(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if tested != 4 {
		t.Errorf("%d types tested, want TQ1_0, TQ2_0, Q8_0, Q6_K", tested)
	}
}

// i2sVectors is one matrix of trits in the three byte orders of I2_S.
type i2sVectors struct {
	M, K    int
	Scale   float32
	Weights string `json:"weights_row_major"` // one of "-0+" per value
	A       string `json:"x86_128_hex"`
	B       string `json:"arm_64_hex"`
	C       string `json:"x86_4row_hex"`
}

func readI2S(t testing.TB) (v i2sVectors, trits []int8, packed map[string][]byte) {
	readJSON(t, "testdata/i2s_layouts.json", &v)
	for _, w := range v.Weights {
		trits = append(trits, int8(strings.IndexRune("-0+", w)-1))
	}
	return v, trits, map[string][]byte{"I2_S": mustHex(t, v.A), "I2_S_B": mustHex(t, v.B), "I2_S_C": mustHex(t, v.C)}
}

func TestCodecI2SLayouts(t *testing.T) {
	v, trits, packed := readI2S(t)
	values := make([]float32, len(trits))
	for i, w := range trits {
		values[i] = float32(w) * v.Scale
	}
	for name, data := range packed {
		t.Run(name, func(t *testing.T) {
			c := mustLookup(t, name)
			m, err := NewTernary(c, data, v.M, v.K)
			if err != nil {
				t.Fatal(err)
			}
			if !m.Uniform || m.Scale != v.Scale || m.Undefined() != 0 {
				t.Errorf("uniform %v, scale %v, undefined %d; want true, %v, 0", m.Uniform, m.Scale, m.Undefined(), v.Scale)
			}
			row, floats := make([]int8, v.K), make([]float32, v.K)
			for r := range v.M {
				m.Trits(row, r)
				if diff := cmp.Diff(trits[r*v.K:(r+1)*v.K], row); diff != "" {
					t.Fatalf("row %d: %s", r, diff)
				}
				c.Decode(floats, data, v.M, v.K, r)
				if diff := cmp.Diff(values[r*v.K:(r+1)*v.K], floats, sameBits); diff != "" {
					t.Fatalf("row %d: %s", r, diff)
				}
			}
			got := make([]byte, len(data))
			for i := range got {
				got[i] = 0xee // the encoder must not rely on zeroed memory
			}
			if err := c.Encode(got, values, v.M, v.K); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(data, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCodecIQ2SGrid compares the packed table with the published one.
func TestCodecIQ2SGrid(t *testing.T) {
	const path = "../../shared/spec/iq2s_grid.json"
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the full grid is not beside the repository: %v", err)
	}
	var want struct{ Bytes [][]float32 }
	readJSON(t, path, &want)
	if len(want.Bytes) != 1024 {
		t.Fatalf("%d entries, want 1024", len(want.Bytes))
	}
	for i, entry := range want.Bytes {
		for j, level := range entry {
			if got := iq2sLevel[iq2sGrid[i]>>(2*j)&3]; got != level {
				t.Fatalf("entry %d, value %d: %v, want %v", i, j, got, level)
			}
		}
	}
}
