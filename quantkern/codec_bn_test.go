package quantkern

import (
	"encoding/hex"
	"errors"
	"testing"
)

func TestBNVectors(t *testing.T) {
	var v struct {
		K     int
		Scale float32
		Trits []int8
		IQ2   string `json:"iq2_bn_row_hex"`
		IQ1   string `json:"iq1_bn_row_hex"`
	}
	readJSON(t, "testdata/iq_bn.json", &v)
	values := make([]float32, v.K)
	for i, x := range v.Trits {
		values[i] = float32(x) * v.Scale
	}
	for name, want := range map[string]string{"IQ2_BN": v.IQ2, "IQ1_BN": v.IQ1} {
		c := mustLookup(t, name)
		m, err := NewTernary(c, mustHex(t, want), 1, v.K)
		if err != nil || !m.Uniform || m.Scale != v.Scale || m.Undefined() != 0 {
			t.Fatalf("%s: %+v, %v", name, m, err)
		}
		got := decodeAll(c, m.Data, 1, v.K)
		for i := range got {
			if got[i] != values[i] {
				t.Fatalf("%s: value %d: %v, want %v", name, i, got[i], values[i])
			}
		}
		packed := make([]byte, len(m.Data))
		if err := c.Encode(packed, values, 1, v.K); err != nil || hex.EncodeToString(packed) != want {
			t.Errorf("%s: encoded as %x (%v), want %s", name, packed, err, want)
		}
		clear(packed)
		if err := c.EncodeTernary(packed, m.Source(), nil); err != nil || hex.EncodeToString(packed) != want {
			t.Errorf("%s: packed as %x (%v), want %s", name, packed, err, want)
		}
	}
}

// TestQ2Vector is what llama.cpp's own quantizer made of a row and made of it again.
func TestQ2Vector(t *testing.T) {
	var v struct {
		Input, Values []float32
		Hex           string
	}
	readJSON(t, "testdata/q2_0.json", &v)
	c, n := mustLookup(t, "Q2_0"), len(v.Input)
	got := make([]byte, c.Size(1, n))
	if err := c.Encode(got, v.Input, 1, n); err != nil || hex.EncodeToString(got) != v.Hex {
		t.Errorf("%x (%v), want %s", got, err, v.Hex)
	}
	for i, x := range decodeAll(c, mustHex(t, v.Hex), 1, n) {
		if x != v.Values[i] {
			t.Fatalf("value %d: %v, want %v", i, x, v.Values[i])
		}
	}
}

// TestScalesOfBlocks: what has several scales goes where they have room, and nowhere else.
func TestScalesOfBlocks(t *testing.T) {
	const rows, cols = 8, 512
	c := mustLookup(t, "Q2_0_128")
	src := TritSource{Rows: rows, Cols: cols, Group: 128,
		Trits: func(dst []int8, r int) error {
			for i := range dst {
				dst[i] = int8((i*7+r)%3 - 1)
			}
			return nil
		},
		Scales: func(dst []float32, r int) {
			for i := range dst {
				dst[i] = float32(r+1) * float32(1+i/2) / 16 // pairs of blocks have the same
			}
		}}
	data := make([]byte, c.Size(rows, cols))
	if err := c.EncodeTernary(data, src, nil); err != nil {
		t.Fatal(err)
	}
	m, err := NewTernary(c, data, rows, cols)
	if err != nil || m.Uniform {
		t.Fatalf("%+v, %v", m, err)
	}
	want := decodeAll(c, data, rows, cols)
	for _, name := range []string{"Q2_0", "Q2_0_128", "TQ1_0", "TQ2_0"} {
		to := mustLookup(t, name)
		packed := make([]byte, to.Size(rows, cols))
		if err := to.EncodeTernary(packed, m.Source(), nil); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, x := range decodeAll(to, packed, rows, cols) {
			if x != want[i] {
				t.Fatalf("%s: value %d: %v, want %v", name, i, x, want[i])
			}
		}
	}
	var ve *ValueError
	for _, name := range []string{"I2_S", "TL2", "IQ2_BN", "IQ1_BN"} {
		to := mustLookup(t, name)
		if name == "TL2" {
			to = mustLookup(t, "I2_S_C")
		}
		if err := to.EncodeTernary(make([]byte, to.Size(rows, cols)), m.Source(), nil); !errors.As(err, &ve) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEncodeTernaryRefuses what would be rounded or is no trit.
func TestEncodeTernaryRefuses(t *testing.T) {
	const rows, cols = 32, 256
	ones := func(dst []int8, _ int) error {
		for i := range dst {
			dst[i] = 1
		}
		return nil
	}
	var ve *ValueError
	for _, c := range ternaryCodecs {
		buf := make([]byte, c.Size(rows, cols))
		for _, scale := range []float32{0.1, 1.0 / 3} {
			err := c.EncodeTernary(buf, TritSource{Rows: rows, Cols: cols, Scale: scale, Trits: ones}, nil)
			if c.HoldsScale(scale) != (err == nil) {
				t.Errorf("%s, scale %v: holds it %t, error %v", c.Name, scale, c.HoldsScale(scale), err)
			}
			if err != nil && !errors.As(err, &ve) {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
		two := func(dst []int8, r int) error { dst[9] = 2; return ones(dst[:9], r) }
		if err := c.EncodeTernary(buf, TritSource{Rows: rows, Cols: cols, Scale: 1, Trits: two}, nil); !errors.As(err, &ve) || ve.Col != 9 {
			t.Errorf("%s with a 2: %v", c.Name, err)
		}
	}
	if err := mustLookup(t, "F16").EncodeTernary(nil, TritSource{}, nil); !errors.Is(err, ErrNotTernary) {
		t.Errorf("F16: %v", err)
	}
}
