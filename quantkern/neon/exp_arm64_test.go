//go:build !noasm

package neon_test

import (
	"math"
	"testing"

	"tritflow/quantkern"
	. "tritflow/quantkern/neon" //nolint:revive,staticcheck // the kernels are this file's vocabulary
)

// TestExp takes a stride through all bit patterns and both sides of each edge.
func TestExp(t *testing.T) {
	var x []float32
	step := uint64(1021)
	if testing.Short() {
		step = 40009
	}
	for b := uint64(0); b < 1<<32; b += step {
		x = append(x, math.Float32frombits(uint32(b)))
	}
	for _, b := range specials {
		for d := -40; d <= 40; d++ {
			x = append(x, math.Float32frombits(b+uint32(d)))
		}
	}
	x = append(x, make([]float32, -len(x)&15)...)
	got := append([]float32(nil), x...)
	ExpSum(&got[0], uintptr(len(x)/16), 0)
	for i, v := range x {
		x[i] = quantkern.Exp(v)
	}
	same(t, "Exp", got, x)
}

// TestExpSumAndMax runs both the way a softmax does.
func TestExpSumAndMax(t *testing.T) {
	everyLength(t, func(t *testing.T, what string, s source, blocks, kind int) {
		n := 16 * blocks
		x := s.floats(n+1, kind)[:n]
		soft := append([]float32(nil), x...)
		top, wantSum := quantkern.Softmax(soft)
		if got := Max(ptr(x), uintptr(blocks)); math.Float32bits(got) != math.Float32bits(top) {
			t.Fatalf("%s: Max is %v, want %v", what, got, top)
		}
		got, check := guardedCopy(x)
		want := make([]float32, n)
		for i, v := range x {
			want[i] = quantkern.Exp(v - top)
		}
		sum := ExpSum(ptr(got), uintptr(blocks), top)
		same(t, what, got, want)
		check(t)
		if !same64(sum, wantSum) || !same64(sum, lanes64(want)) {
			t.Fatalf("%s: ExpSum is %v, want %v", what, sum, wantSum)
		}
	})
}

// TestMax compares with a loop over the values.
func TestMax(t *testing.T) {
	everyLength(t, func(t *testing.T, what string, s source, blocks, kind int) {
		n := 16 * blocks
		x := s.floats(n+1, kind)[:n]
		want := float32(math.Inf(-1))
		for _, v := range x {
			if v > want {
				want = v
			}
		}
		if got := Max(ptr(x), uintptr(blocks)); got != want {
			t.Fatalf("%s: Max is %v, want %v", what, got, want)
		}
	})
}

// TestMaxRemembers has a NaN follow the largest value in its lane.
func TestMaxRemembers(t *testing.T) {
	for lane := range 16 {
		for _, nan := range []uint32{0x7fc00000, 0x7f800001, 0xff800001} {
			x := make([]float32, 48)
			for i := range x {
				x[i] = -2
			}
			x[lane], x[16+lane] = 7, math.Float32frombits(nan)
			if got := Max(&x[0], 3); got != 7 {
				t.Errorf("lane %d, NaN %08x: Max is %v, want 7", lane, nan, got)
			}
		}
	}
}

// TestMaxOfZeros wants +0, whatever zeros there are.
func TestMaxOfZeros(t *testing.T) {
	x := make([]float32, 32)
	for i := range x {
		x[i] = float32(math.Copysign(0, -1))
	}
	for _, zero := range []float32{x[0], 0} {
		x[5] = zero
		if got := Max(&x[0], 2); math.Float32bits(got) != 0 {
			t.Errorf("Max is %08x, want 0", math.Float32bits(got))
		}
	}
}
