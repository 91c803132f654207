package quantkern

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var ternaryNames = []string{"I2_S", "I2_S_B", "I2_S_C", "TQ1_0", "TQ2_0", "Q2_0", "Q2_0_128", "IQ1_BN", "IQ2_BN"}

// TestTernaryLayoutsAgree packs one matrix in every layout and compares the
// trits that come back.
func TestTernaryLayoutsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, rows, cols := drawMatrix(t, mustLookup(t, "TL1")) // which needs the most rows
		scale := float32(0)
		for _, v := range src {
			scale = max(scale, v, -v)
		}
		for _, c := range ternaryCodecs {
			data := make([]byte, c.Size(rows, cols))
			if err := c.Encode(data, src, rows, cols); err != nil {
				t.Fatal(err)
			}
			m, err := NewTernary(c, data, rows, cols)
			if err != nil {
				t.Fatal(err)
			}
			if !m.Uniform || m.Scale != scale || m.Undefined() != 0 {
				t.Fatalf("%s: uniform %v, scale %v, undefined %d; want true, %v, 0", c.Name, m.Uniform, m.Scale, m.Undefined(), scale)
			}
			row := make([]int8, cols)
			for r := range rows {
				m.Trits(row, r)
				for i, got := range row {
					if float32(got)*scale != src[r*cols+i] {
						t.Fatalf("%s: row %d, column %d: trit %d, value %v", c.Name, r, i, got, src[r*cols+i])
					}
				}
			}
		}
	})
}

// TestTernaryFormulas checks the unpacking of any bytes, undefined ones
// included, against the formats' own formulas, value by value.
func TestTernaryFormulas(t *testing.T) {
	code := map[string]func(b []byte, cols, r, i int) int{
		"I2_S": func(b []byte, cols, r, i int) int {
			f := r*cols + i
			return int(b[32*(f/128)+f%32] >> (6 - 2*(f%128/32)) & 3)
		},
		"I2_S_B": func(b []byte, cols, r, i int) int {
			f := r*cols + i
			return int(b[16*(f/64)+f%16] >> (6 - 2*(f%64/16)) & 3)
		},
		"I2_S_C": func(b []byte, cols, r, i int) int { return int(b[r/4*cols+i] >> (6 - 2*(r%4)) & 3) },
		"TQ2_0": func(b []byte, cols, r, i int) int {
			b, i = b[(r*cols+i)/256*66:], i%256
			return int(b[32*(i/128)+i%32] >> (2 * (i % 128 / 32)) & 3)
		},
		"TQ1_0": func(b []byte, cols, r, i int) int {
			b, i = b[(r*cols+i)/256*54:], i%256
			at, digit := i%32, i/32
			if i >= 240 {
				at, digit = 48+(i-240)%4, (i-240)/4
			} else if i >= 160 {
				at, digit = 32+(i-160)%16, (i-160)/16
			}
			power := []int{1, 3, 9, 27, 81}[digit]
			return int(b[at]) * power % 256 * 3 >> 8
		},
		"Q2_0": func(b []byte, cols, r, i int) int {
			return int(b[(r*cols+i)/64*18+2+i%64/4] >> (2 * (i % 4)) & 3)
		},
		"Q2_0_128": func(b []byte, cols, r, i int) int {
			return int(b[(r*cols+i)/128*34+2+i%128/4] >> (2 * (i % 4)) & 3)
		},
		"IQ2_BN": func(b []byte, cols, r, i int) int {
			return int(b[r*(4+cols/4)+4+i/64*16+i%16] >> (2 * (i % 64 / 16)) & 3)
		},
		"IQ1_BN": func(b []byte, cols, r, i int) int {
			b = b[r*(2+cols/64*13)+2+i/64*13:]
			group, j := i%64/16, i%16
			at, digit := 3*group+j/5, j%5
			if j == 15 {
				at, digit = 12, group
			}
			return int(b[at]) * []int{81, 27, 9, 3, 1}[digit] % 256 * 3 >> 8
		},
	}
	for _, name := range ternaryNames {
		t.Run(name, func(t *testing.T) {
			c := mustLookup(t, name)
			rapid.Check(t, func(t *rapid.T) {
				rows := c.trits.rowGroup * rapid.IntRange(1, 3).Draw(t, "rows")
				cols := c.BlockValues * rapid.IntRange(1, 13).Draw(t, "blocks")
				size := c.Size(rows, cols)
				data := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "data")
				m, err := NewTernary(c, data, rows, cols)
				if err != nil {
					t.Fatal(err)
				}
				row, undefined := make([]int8, cols), 0
				for r := range rows {
					m.Trits(row, r)
					for i, got := range row {
						want := code[name](data, cols, r, i) - 1
						if int(got) != want {
							t.Fatalf("row %d, column %d: %d, want %d", r, i, got, want)
						}
						if want == 2 {
							undefined++
						}
					}
				}
				if got := m.Undefined(); name != "TQ1_0" && name != "IQ1_BN" && got != undefined {
					t.Fatalf("%d undefined codes, want %d", got, undefined)
				}
			})
		})
	}
}

// TestTernaryCode3 : the code that no trit has decodes to +2 × scale.
func TestTernaryCode3(t *testing.T) {
	for _, name := range ternaryNames[:3] {
		c := mustLookup(t, name)
		data := make([]byte, c.Size(4, 128))
		for i := range 128 {
			data[i] = 0xff
		}
		binary.LittleEndian.PutUint32(data[128:], math.Float32bits(0.75))
		want := slices.Repeat([]float32{1.5}, 4*128)
		if diff := cmp.Diff(want, decodeAll(c, data, 4, 128)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestTernaryUndefinedTQ1 counts byte by byte what no encoder writes: of 256
// bytes 243 are five digits and 81 are four.
func TestTernaryUndefinedTQ1(t *testing.T) {
	c := mustLookup(t, "TQ1_0")
	count := func(at int) (n int) {
		for b := range 256 {
			data := make([]byte, 54)
			data[at] = byte(b)
			m, err := NewTernary(c, data, 1, 256)
			if err != nil {
				t.Fatal(err)
			}
			n += m.Undefined()
		}
		return n
	}
	for at, want := range map[int]int{0: 13, 47: 13, 48: 175, 51: 175} {
		if got := count(at); got != want {
			t.Errorf("byte %d: %d of 256 undefined, want %d", at, got, want)
		}
	}
}

func TestTernaryScales(t *testing.T) {
	half := func(f float32) uint16 { return F32ToF16(f) }
	zero, nan := uint16(0), uint16(0x7e01)
	for _, c := range []struct {
		name    string
		scales  []uint16
		zeros   []bool // blocks without a trit
		uniform bool
		scale   float32
	}{
		{"same", []uint16{half(2), half(2), half(2), half(2)}, make([]bool, 4), true, 2},
		{"different", []uint16{half(2), half(2), half(2), half(3)}, make([]bool, 4), false, 0},
		{"zeros do not count", []uint16{zero, half(2), half(9), half(2)}, []bool{true, false, true, false}, true, 2},
		{"zero scale with trits counts", []uint16{zero, half(2), half(2), half(2)}, make([]bool, 4), false, 0},
		{"only zeros", []uint16{half(1), half(2), half(3), half(4)}, []bool{true, true, true, true}, true, 0},
		{"a scale that is no number counts", []uint16{half(2), nan, half(2), half(2)}, []bool{false, true, false, false}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"TQ1_0", "TQ2_0"} {
				codec := mustLookup(t, name)
				data := make([]byte, codec.Size(2, 512))
				values := make([]float32, 256)
				for i, h := range c.scales {
					block := data[i*codec.BlockBytes:][:codec.BlockBytes]
					values[7] = 1
					if c.zeros[i] {
						values[7] = 0
					}
					if err := codec.Encode(block, values, 1, 256); err != nil {
						t.Fatal(err)
					}
					binary.LittleEndian.PutUint16(block[codec.trits.scaleAt:], h)
				}
				m, err := NewTernary(codec, data, 2, 512)
				if err != nil {
					t.Fatal(err)
				}
				if m.Uniform != c.uniform || m.Uniform && m.Scale != c.scale {
					t.Errorf("%s: uniform %v, scale %v", name, m.Uniform, m.Scale)
				}
				got := make([]float32, 4)
				m.BlockScales(got[:2], 0)
				m.BlockScales(got[2:], 1)
				for i, h := range c.scales {
					if math.Float32bits(got[i]) != math.Float32bits(F16ToF32(h)) {
						t.Errorf("%s: block %d has scale %v", name, i, got[i])
					}
				}
			}
		})
	}
}

// TestTernaryAllNaN: one NaN for all blocks is one scale, passed on.
func TestTernaryAllNaN(t *testing.T) {
	for _, name := range ternaryNames {
		c := mustLookup(t, name)
		data := slices.Repeat([]byte{0xff}, c.Size(4, 256))
		m, err := NewTernary(c, data, 4, 256)
		if err != nil || !m.Uniform || m.Scale == m.Scale {
			t.Errorf("%s: %v, uniform %v, scale %v", name, err, m.Uniform, m.Scale)
		}
	}
}

func TestTernaryErrors(t *testing.T) {
	if _, err := NewTernary(mustLookup(t, "Q8_0"), make([]byte, 34), 1, 32); !errors.Is(err, ErrNotTernary) {
		t.Errorf("Q8_0: %v", err)
	}
	for _, name := range ternaryNames {
		c := mustLookup(t, name)
		size := c.Size(4, 256)
		var short *ShortError
		if _, err := NewTernary(c, make([]byte, size-1), 4, 256); !errors.As(err, &short) || short.Want != size {
			t.Errorf("%s, short: %v", name, err)
		}
		var shape *ShapeError
		if _, err := NewTernary(c, make([]byte, 4*size), 2, 257); !errors.As(err, &shape) {
			t.Errorf("%s, shape: %v", name, err)
		}
		m, err := NewTernary(c, make([]byte, size+9), 4, 256)
		if err != nil || len(m.Data) != size {
			t.Errorf("%s, longer: %v", name, err)
		}
	}
}

func TestTernaryTritsDoesNotAllocate(t *testing.T) {
	for _, name := range ternaryNames {
		c := mustLookup(t, name)
		m, err := NewTernary(c, make([]byte, c.Size(4, 512)), 4, 512)
		if err != nil {
			t.Fatal(err)
		}
		row, values := make([]int8, 512), make([]float32, 512)
		if n := testing.AllocsPerRun(10, func() { m.Trits(row, 1); c.Decode(values, m.Data, 4, 512, 1) }); n != 0 {
			t.Errorf("%s: %v allocations a row", name, n)
		}
	}
}
