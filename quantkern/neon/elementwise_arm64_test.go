//go:build !noasm

package neon_test

import (
	"math"
	"testing"

	"tritflow/quantkern"
	. "tritflow/quantkern/neon" //nolint:revive,staticcheck // the kernels are this file's vocabulary
)

func TestElementwise(t *testing.T) {
	kernels := []struct {
		name   string
		kernel func(dst, x, y []float32, blocks uintptr, f float32)
		want   func(dst, x, y []float32, f float32)
	}{
		{"Add",
			func(dst, x, _ []float32, n uintptr, _ float32) { Add(ptr(dst), ptr(x), n) },
			func(dst, x, _ []float32, _ float32) { quantkern.Add(dst, x) }},
		{"Scale",
			func(dst, x, _ []float32, n uintptr, f float32) { Scale(ptr(dst), ptr(x), n, f) },
			func(dst, x, _ []float32, f float32) {
				for i, v := range x {
					dst[i] = v * f
				}
			}},
		{"ScaleMul",
			func(dst, x, y []float32, n uintptr, f float32) { ScaleMul(ptr(dst), ptr(x), ptr(y), n, f) },
			func(dst, x, y []float32, f float32) {
				for i, v := range x {
					dst[i] = float32(v*f) * y[i]
				}
			}},
		{"ReLU2Mul",
			func(dst, x, y []float32, n uintptr, _ float32) { ReLU2Mul(ptr(dst), ptr(x), ptr(y), n) },
			func(dst, x, y []float32, _ float32) { quantkern.ReLU2Mul(dst, x, y) }},
		{"SiLUMul",
			func(dst, x, y []float32, n uintptr, _ float32) { SiLUMul(ptr(dst), ptr(x), ptr(y), n) },
			func(dst, x, y []float32, _ float32) { quantkern.SiLUMul(dst, x, y) }},
	}
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			everyLength(t, func(t *testing.T, what string, s source, blocks, kind int) {
				n := 16 * blocks
				x, y, f := s.floats(n+1, kind)[:n], s.floats(n+1, kind)[:n], s.floats(1, kind)[0]
				start := s.floats(n, kind)
				got, check := guardedCopy(start)
				want := append([]float32(nil), start...)
				k.kernel(got, x, y, uintptr(blocks), f)
				k.want(want, x, y, f)
				same(t, what, got, want)
				check(t)
				if k.name == "Add" {
					return
				}
				inPlace, check := guardedCopy(x)
				k.kernel(inPlace, inPlace, y, uintptr(blocks), f)
				same(t, what+", in place", inPlace, want)
				check(t)
			})
		})
	}
}

func TestSumSquares(t *testing.T) {
	everyLength(t, func(t *testing.T, what string, s source, blocks, kind int) {
		n := 16 * blocks
		x := s.floats(n+1, kind)[:n]
		squares := make([]float32, n)
		for i, v := range x {
			squares[i] = v * v
		}
		if got, want := SumSquares(ptr(x), uintptr(blocks)), lanes64(squares); !same64(got, want) {
			t.Fatalf("%s: SumSquares is %v, want %v", what, got, want)
		}
	})
}

func TestAbsMaxBits(t *testing.T) {
	everyLength(t, func(t *testing.T, what string, s source, blocks, kind int) {
		n := 16 * blocks
		x := s.floats(n+1, kind)[:n]
		var want uint32
		for _, v := range x {
			want = max(want, math.Float32bits(v)&0x7fffffff)
		}
		if got := AbsMaxBits(ptr(x), uintptr(blocks)); got != want {
			t.Fatalf("%s: AbsMaxBits is %08x, want %08x", what, got, want)
		}
	})
}

func TestRopeNeoX(t *testing.T) {
	everyLength(t, func(t *testing.T, what string, s source, blocks, kind int) {
		n := 16 * blocks
		cos, sin := s.floats(n+1, kind)[:n], s.floats(n+1, kind)[:n]
		x := s.floats(2*n, kind)
		got, check := guardedCopy(x)
		RopeNeoX(ptr(got), ptr(cos), ptr(sin), uintptr(blocks))
		quantkern.Rope(x, cos, sin, true)
		same(t, what, got, x)
		check(t)
	})
}

// TestFromF16 takes every half, bits exact even of NaNs.
func TestFromF16(t *testing.T) {
	h := make([]uint16, 1<<16)
	for i := range h {
		h[i] = uint16(i)
	}
	got := make([]float32, len(h))
	FromF16(&got[0], &h[0], uintptr(len(h)/16))
	for i, v := range got {
		if want := quantkern.F16ToF32(h[i]); math.Float32bits(v) != math.Float32bits(want) {
			t.Fatalf("half %04x is %08x, want %08x", i, math.Float32bits(v), math.Float32bits(want))
		}
	}
	for blocks := range maxBlocks {
		x, check := guarded(16 * blocks)
		FromF16(ptr(x), &h[0], uintptr(blocks))
		same(t, "FromF16", x, got[:len(x)])
		check(t)
	}
}

// TestToF16 takes a stride through all bit patterns and the neighbourhood of
// every half and of every midpoint between two, NaNs bit for bit.
func TestToF16(t *testing.T) {
	var x []float32
	for b := uint64(0); b < 1<<32; b += 9973 {
		x = append(x, math.Float32frombits(uint32(b)))
	}
	for h := range 1 << 16 {
		b := math.Float32bits(quantkern.F16ToF32(uint16(h)))
		for _, d := range []uint32{0, 1, ^uint32(0), 0xfff, 0x1000, 0x1001} {
			x = append(x, math.Float32frombits(b+d))
		}
	}
	x = append(x, newSource(1).floats(1<<12, special)...)
	x = append(x, make([]float32, -len(x)&15)...)
	got := make([]uint16, len(x)+1)
	got[len(x)] = 0x5a5a
	ToF16(&got[0], &x[0], uintptr(len(x)/16))
	for i, v := range x {
		if want := quantkern.F32ToF16(v); got[i] != want {
			t.Fatalf("%v (%08x) is %04x, want %04x", v, math.Float32bits(v), got[i], want)
		}
	}
	if got[len(x)] != 0x5a5a {
		t.Error("written behind the end")
	}
}
