//go:build !noasm

package neon_test

import (
	"fmt"
	"math"
	"testing"

	"tritflow/quantkern"
	. "tritflow/quantkern/neon" //nolint:revive,staticcheck // the kernels are this file's vocabulary
)

type ternaryKernel func(dst *float32, ldd uintptr, w *byte, ldw uintptr, a *int8, lda uintptr, chunks uintptr, tail uintptr, sums *int32, scales *float32, scale float32, next *byte, step uintptr)

// ternaryKernels are the tiles with n rows of activations.
var ternaryKernels = []struct {
	name     string
	kernel   ternaryKernel
	n        int
	tq2, dot bool
}{
	{"I2Sx1", I2Sx1, 1, false, false}, {"I2Sx2", I2Sx2, 2, false, false},
	{"TQ2x1", TQ2x1, 1, true, false}, {"TQ2x2", TQ2x2, 2, true, false},
	{"I2SDotx1", I2SDotx1, 1, false, true}, {"I2SDotx2", I2SDotx2, 2, false, true},
	{"TQ2Dotx1", TQ2Dotx1, 1, true, true}, {"TQ2Dotx2", TQ2Dotx2, 2, true, true},
}

// codeAt is the place of the 2-bit code i of a row.
func codeAt(i int, tq2 bool) (at, shift int) {
	if tq2 {
		return i/256*66 + i%256/128*32 + i%32, i % 128 / 32 * 2
	}
	return i/128*32 + i%32, 6 - i%128/32*2
}

// TestTernary compares the tiles with sums over single codes: all lengths,
// rows apart, random codes (3 included) and the extremes of both operands.
func TestTernary(t *testing.T) {
	for _, k := range ternaryKernels {
		t.Run(k.name, func(t *testing.T) {
			if k.dot {
				needDot(t)
			}
			for fill := range 4 {
				for blocks := 0; blocks <= 2*maxBlocks; blocks++ {
					checkTile(t, k.kernel, k.n, k.tq2, blocks, fill)
				}
				checkTile(t, k.kernel, k.n, k.tq2, 301, fill)
			}
		})
	}
}

func checkTile(t *testing.T, kernel ternaryKernel, n int, tq2 bool, blocks, fill int) {
	t.Helper()
	const rows = 4
	s := newSource(uint64(blocks*10 + fill))
	cols, chunks, tail := 128*blocks, blocks/2, blocks%2
	ldw := 66*(chunks+tail) + 3
	lda, ldd := cols+5, 7
	w, a := make([]byte, rows*ldw+1), make([]int8, n*lda+1)
	for i := range w {
		w[i] = [...]byte{byte(s.Uint32()), 0xff, 0xff, 0xaa}[fill]
	}
	for i := range a {
		a[i] = [...]int8{int8(s.IntN(255) - 127), 127, -127, int8(254*(i&1) - 127)}[fill]
	}
	sums, scales, scale := make([]int32, n), make([]float32, n), float32(0.0173)
	for i := range sums {
		sums[i], scales[i] = int32(s.IntN(20001)-10000), float32(1+1000*s.Float64())
	}
	dst, check := guarded(n * ldd)
	kernel(&dst[0], uintptr(4*ldd), &w[0], uintptr(ldw), &a[0], uintptr(lda), uintptr(chunks), uintptr(tail), &sums[0], &scales[0], scale, &w[0], 256)
	check(t)
	for i := range n {
		for r := range ldd {
			want := sentinel
			if r < rows {
				var dot int32
				for c := range cols {
					at, shift := codeAt(c, tq2)
					dot += int32(w[r*ldw+at]>>shift&3) * int32(a[i*lda+c])
				}
				want = float32(dot-sums[i]) / scales[i] * scale
			}
			if got := dst[i*ldd+r]; math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("%d blocks, fill %d: row %d, activation %d is %v, want %v", blocks, fill, r, i, got, want)
			}
		}
	}
}

// TestTernaryMatrix multiplies encoded matrices with quantized activations and
// compares with the trits and scale that quantkern reads from the matrix.
func TestTernaryMatrix(t *testing.T) {
	for _, k := range ternaryKernels {
		t.Run(k.name, func(t *testing.T) {
			if k.dot {
				needDot(t)
			}
			name, step, size := "I2_S", 128, 32
			if k.tq2 {
				name, step, size = "TQ2_0", 256, 66
			}
			for blocks := 1; blocks <= 10; blocks++ {
				checkMatrix(t, k.kernel, k.n, name, step*blocks, size*blocks)
			}
		})
	}
}

func checkMatrix(t *testing.T, kernel ternaryKernel, step int, codecName string, cols, ldw int) {
	t.Helper()
	const rows, n = 8, 2
	codec, err := quantkern.Lookup(codecName)
	if err != nil {
		t.Fatal(err)
	}
	s := newSource(uint64(cols))
	dense := make([]float32, rows*cols)
	for i := range dense {
		dense[i] = float32(s.IntN(3)-1) * 0.75
	}
	data := make([]byte, codec.Size(rows, cols))
	if err := codec.Encode(data, dense, rows, cols); err != nil {
		t.Fatal(err)
	}
	w, err := quantkern.NewTernary(codec, data, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	q, scales, sums := make([]int8, n*cols), make([]float32, n), make([]int32, n)
	trits, want, got := make([]int8, cols), make([]float32, n*rows), make([]float32, n*rows)
	for i := range n {
		row := q[i*cols : (i+1)*cols]
		scales[i] = quantkern.QuantizeRow(row, s.floats(cols, ordinary))
		for _, v := range row {
			sums[i] += int32(v)
		}
		for r := range rows {
			w.Trits(trits, r)
			var dot int32
			for c, trit := range trits {
				dot += int32(trit) * int32(row[c])
			}
			want[i*rows+r] = float32(dot) / scales[i] * w.Scale
		}
	}
	for r := 0; r < rows; r += 4 {
		for i := 0; i < n; i += step {
			kernel(&got[i*rows+r], 4*rows, &data[r*ldw], uintptr(ldw), &q[i*cols], uintptr(cols),
				uintptr(cols/256), uintptr(cols%256/128), &sums[i], &scales[i], w.Scale, &data[0], 256)
		}
	}
	same(t, fmt.Sprintf("%d columns", cols), got, want)
}

// TestQuantize compares with QuantizeRow, whose scale it gets: normal and
// wildly different magnitudes, ties, zeros and subnormals.
func TestQuantize(t *testing.T) {
	for blocks := 0; blocks <= 2*maxBlocks; blocks++ {
		for kind := range 4 {
			s := newSource(uint64(blocks*10 + kind))
			n := 128 * blocks
			x := s.floats(n+1, min(kind, wild))[:n]
			for i := range x {
				switch kind {
				case 2:
					x[i] = float32(s.IntN(255)-127) / 2
					x[0] = 127
				case 3:
					x[i] = math.Float32frombits(s.Uint32() & 0x800fffff)
				}
			}
			want := make([]int8, n)
			scale := quantkern.QuantizeRow(want, x)
			var wantSum int32
			for _, v := range want {
				wantSum += int32(v)
			}
			got := make([]int8, n+16)
			for i := range got {
				got[i] = 99
			}
			if sum := Quantize(&got[0], ptr(x), uintptr(blocks/2), uintptr(blocks%2), scale); sum != wantSum {
				t.Fatalf("%d blocks, kind %d: the sum is %d, want %d", blocks, kind, sum, wantSum)
			}
			for i, v := range got {
				if i < n && v != want[i] || i >= n && v != 99 {
					t.Fatalf("%d blocks, kind %d: value %d of %d is %d", blocks, kind, i, n, v)
				}
			}
		}
	}
}
