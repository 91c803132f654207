package quantkern

import (
	"bytes"
	"testing"
)

// FuzzDecode: every codec decodes any bytes, to finite values unless a scale is
// not finite. F32, F16 and BF16 are their own scales.
func FuzzDecode(f *testing.F) {
	for _, v := range readBlockVectors(f).Dequant {
		f.Add(mustHex(f, v.Hex), uint8(1))
	}
	_, _, packed := readI2S(f)
	for _, data := range packed {
		f.Add(data, uint8(4))
	}
	f.Add(make([]byte, 2200), uint8(1))
	f.Add(bytes.Repeat([]byte{0x5a, 0xc3, 0xff}, 760), uint8(2))
	// Where each block type has its f16 scales.
	scales := map[string][]int{
		"Q4_0": {0}, "Q4_1": {0, 2}, "Q5_0": {0}, "Q5_1": {0, 2}, "Q8_0": {0},
		"Q4_K": {0, 2}, "Q5_K": {0, 2}, "Q6_K": {q6kD}, "IQ2_S": {0},
	}
	f.Fuzz(func(t *testing.T, data []byte, rows8 uint8) {
		for _, c := range codecs {
			rows, cols := int(rows8%8)+1, c.BlockValues
			step := cols
			if c.tiled() {
				rows, cols, step = 32, 256, 32
			}
			for c.Size(rows, cols+step) <= len(data) {
				cols += step
			}
			if c.Check(rows, cols) != nil || c.Size(rows, cols) > len(data) {
				continue
			}
			data := data[:c.Size(rows, cols)]
			finite := c.Ternary || scales[c.Name] != nil
			for at := 0; at < len(data) && !c.Ternary; at += c.BlockBytes {
				for _, d := range scales[c.Name] {
					finite = finite && isFinite(f16At(data[at+d:]))
				}
			}
			var trits []int8
			m, err := NewTernary(c, data, rows, cols)
			if c.Ternary {
				if err != nil {
					t.Fatal(err)
				}
				if n := m.Undefined(); n < 0 || n > rows*cols {
					t.Fatalf("%s: %d undefined codes", c.Name, n)
				}
				trits = make([]int8, cols)
			}
			out := make([]float32, cols)
			for r := range rows {
				c.Decode(out, data, rows, cols, r)
				rowFinite := finite
				if c.Ternary {
					m.Trits(trits, r)
					block := make([]float32, cols/c.BlockValues)
					m.BlockScales(block, r)
					for i, v := range out {
						scale := block[i/c.BlockValues]
						rowFinite = rowFinite && isFinite(scale) && isFinite(2*scale)
						if v == v && v != float32(trits[i])*scale {
							t.Fatalf("%s: row %d, value %d: %v, trit %d, scale %v", c.Name, r, i, v, trits[i], scale)
						}
					}
				}
				for i, v := range out {
					if rowFinite && !isFinite(v) {
						t.Fatalf("%s: row %d, value %d: %v from finite scales", c.Name, r, i, v)
					}
				}
			}
		}
	})
}

// FuzzTernaryRoundTrip: packing trits and unpacking them gives the same trits,
// and packing what was unpacked gives the same bytes.
func FuzzTernaryRoundTrip(f *testing.F) {
	f.Add([]byte{0, 1, 2}, uint16(0x3800))
	f.Add([]byte("ternary"), uint16(0x0001))
	f.Fuzz(func(t *testing.T, codes []byte, scale uint16) {
		d := F16ToF32(scale & 0x7fff)
		if len(codes) == 0 || !isFinite(d) || d == 0 {
			return
		}
		const rows, cols = 32, 512
		src := make([]float32, rows*cols)
		for i := range src {
			src[i] = float32(int(codes[i%len(codes)]+byte(i/len(codes)))%3-1) * d
		}
		for _, c := range ternaryCodecs {
			data := make([]byte, c.Size(rows, cols))
			if err := c.Encode(data, src, rows, cols); err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			got := decodeAll(c, data, rows, cols)
			for i := range got {
				if got[i] != src[i] {
					t.Fatalf("%s: value %d: %v, want %v", c.Name, i, got[i], src[i])
				}
			}
			again := make([]byte, len(data))
			if err := c.Encode(again, got, rows, cols); err != nil || !bytes.Equal(data, again) {
				t.Fatalf("%s: a second encoding differs (%v)", c.Name, err)
			}
		}
	})
}
