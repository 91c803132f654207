package quantkern

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// ternaryMatrix is a random matrix. The whole-tensor layouts get random bytes,
// the undefined code 3 among them; with several scales each block of the
// others has its own.
func ternaryMatrix(t testing.TB, rng *rand.Rand, name string, rows, cols int, uniform bool) *Ternary {
	t.Helper()
	c := mustLookup(t, name)
	data := make([]byte, c.Size(rows, cols))
	if c.BlockBytes == 0 {
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		binary.LittleEndian.PutUint32(data[rows*cols/4:], math.Float32bits(0.3))
	} else {
		src := make([]float32, rows*cols)
		scale := float32(0.75)
		for i := range src {
			if !uniform && i%c.BlockValues == 0 {
				scale = F16ToF32(F32ToF16(0.1 + rng.Float32()))
			}
			src[i] = float32(rng.IntN(3)-1) * scale
		}
		if err := c.Encode(data, src, rows, cols); err != nil {
			t.Fatal(err)
		}
	}
	w, err := NewTernary(c, data, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	if w.Uniform != uniform {
		t.Fatalf("%s: uniform is %v", name, w.Uniform)
	}
	return w
}

// naiveTernary is MulTernary's definition for one row and one activation row.
func naiveTernary(w *Ternary, r int, q []int8, s float32) float32 {
	trits := make([]int8, w.Cols)
	w.Trits(trits, r)
	dot := func(from, to int) float32 {
		var sum int64
		for k := from; k < to; k++ {
			sum += int64(trits[k]) * int64(q[k])
		}
		return float32(sum)
	}
	if w.Uniform {
		return float32(dot(0, w.Cols)/s) * w.Scale
	}
	values := w.Codec.BlockValues
	scales := make([]float32, w.Cols/values)
	w.BlockScales(scales, r)
	var sum float32
	for b, scale := range scales {
		sum += float32(dot(b*values, (b+1)*values) * scale)
	}
	return sum / s
}

func TestMulTernary(t *testing.T) {
	rng := newRand(5)
	var scratch Scratch
	for _, c := range []struct {
		name       string
		rows, cols int
		uniform    bool
	}{
		{"I2_S", 5, 128, true}, {"I2_S", 3, 640, true}, {"I2_S_B", 4, 192, true}, {"I2_S_C", 8, 100, true},
		{"I2_S_C", 4, 8, true}, {"TQ1_0", 3, 512, true}, {"TQ2_0", 3, 768, true},
		{"TQ1_0", 4, 1024, false}, {"TQ2_0", 5, 256, false},
	} {
		for _, n := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%s/%dx%d/%d", c.name, c.rows, c.cols, n), func(t *testing.T) {
				w := ternaryMatrix(t, rng, c.name, c.rows, c.cols, c.uniform)
				q, s := int8s(rng, n*c.cols), make([]float32, n)
				for i := range s {
					s[i] = 1 + 100*rng.Float32()
				}
				stride := c.rows + 2
				dst := make([]float32, (n+1)*stride)
				for i := range dst {
					dst[i] = -77
				}
				// Two ranges make the whole, in any order.
				MulTernary(dst, stride, w, 1, c.rows, actsOf(q, s, c.cols), &scratch)
				MulTernary(dst, stride, w, 0, 1, actsOf(q, s, c.cols), &scratch)
				for i := range n + 1 {
					for r := range stride {
						want := float32(-77)
						if i < n && r < c.rows {
							want = naiveTernary(w, r, q[i*c.cols:(i+1)*c.cols], s[i])
						}
						wantBits(t, fmt.Sprintf("token %d, row %d", i, r), dst[i*stride+r], want)
					}
				}
			})
		}
	}
}

func TestMulTernaryNonFiniteActivations(t *testing.T) {
	rng := newRand(6)
	w := ternaryMatrix(t, rng, "I2_S", 3, 128, true)
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		x := floats(rng, w.Cols)
		x[77] = float32(bad)
		q, dst := make([]int8, w.Cols), make([]float32, w.Rows)
		s := QuantizeRow(q, x)
		MulTernary(dst, w.Rows, w, 0, w.Rows, actsOf(q, []float32{s}, w.Cols), new(Scratch))
		for r, v := range dst {
			if v == v {
				t.Errorf("%g in the activations: product %d is %g, want NaN", bad, r, v)
			}
		}
	}
	wantPanic(t, "rows of another width", func() {
		MulTernary(make([]float32, 6), 3, w, 0, 3, actsOf(make([]int8, 512), make([]float32, 2), 256), new(Scratch))
	})
}

func TestBlockDotsOddBlocks(t *testing.T) {
	wantPanic(t, "blocks of 12 values", func() {
		blockDots(make([]uint64, 6), make([]uint64, 6), make([]float32, 2), 12)
	})
}

func TestMulDense(t *testing.T) {
	rng := newRand(8)
	const rows, cols, n, stride = 5, 512, 3, 7
	x := floats(rng, n*cols)
	for _, name := range Names() {
		c := mustLookup(t, name)
		if !c.CanEncode() || c.Ternary {
			continue
		}
		data := make([]byte, c.Size(rows, cols))
		if err := c.Encode(data, floats(rng, rows*cols), rows, cols); err != nil {
			t.Fatal(err)
		}
		dst := make([]float32, n*stride)
		MulDense(dst, stride, c, data, rows, cols, 1, rows, x, n, new(Scratch))
		row := make([]float32, cols)
		for r := range rows {
			c.Decode(row, data, rows, cols, r)
			for i := range n {
				want := Dot(row, x[i*cols:(i+1)*cols])
				if r == 0 {
					want = 0 // outside of the range
				}
				wantBits(t, fmt.Sprintf("%s, token %d, row %d", name, i, r), dst[i*stride+r], want)
			}
		}
	}
}

// An unaligned mapping must give the same bits as the direct view.
func TestMulDenseF32Alignment(t *testing.T) {
	rng := newRand(9)
	const rows, cols = 3, 37
	c := mustLookup(t, "F32")
	weights, x := floats(rng, rows*cols), floats(rng, cols)
	memory := make([]uint32, rows*cols+1)
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&memory[0])), 4*len(memory))
	for shift := range 4 {
		data := raw[shift : shift+4*rows*cols]
		for i, v := range weights {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
		}
		var scratch Scratch
		dst := make([]float32, rows)
		MulDense(dst, rows, c, data, rows, cols, 0, rows, x, 1, &scratch)
		for r := range rows {
			wantBits(t, fmt.Sprintf("shift %d, row %d", shift, r), dst[r], Dot(weights[r*cols:(r+1)*cols], x))
		}
		if copied := scratch.Bytes() > 0; copied != (shift != 0) {
			t.Errorf("shift %d: rows were copied: %v", shift, copied)
		}
	}
	wantPanic(t, "too few activations", func() {
		MulDense(make([]float32, 6), 3, c, raw, rows, cols, 0, rows, x, 2, new(Scratch))
	})
}
