//go:build !noasm

package neon_test

import (
	"testing"
	"unsafe"

	"tritflow/quantkern"
	. "tritflow/quantkern/neon" //nolint:revive,staticcheck // the kernels are this file's vocabulary
)

// widen is a matrix of floats from one of halves.
func widen(h []uint16) []float32 {
	x := make([]float32, len(h))
	for i, v := range h {
		x[i] = quantkern.F16ToF32(v)
	}
	return x
}

type dotKernel func(dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx uintptr, blocks uintptr)

// checkDot compares a kernel over rows of w (values in dense), ld apart.
func checkDot[T any](t *testing.T, what string, kernel dotKernel, w []T, dense []float32, rows, ld, blocks int, x []float32) {
	t.Helper()
	n := 16 * blocks
	got, check := guarded(rows)
	kernel(&got[0], 0, (*byte)(unsafe.Pointer(&w[0])), unsafe.Sizeof(w[0])*uintptr(ld), &x[0], 0, uintptr(blocks))
	check(t)
	want := make([]float32, rows)
	for r := range want {
		want[r] = quantkern.Dot(dense[r*ld:r*ld+n], x[:n])
	}
	same(t, what, got, want)
}

func TestDot(t *testing.T) {
	everyLength(t, func(t *testing.T, what string, s source, blocks, kind int) {
		ld := 16*blocks + 3
		w, h, x := s.floats(4*ld, kind), s.halves(4*ld, kind), s.floats(ld, kind)
		wide := widen(h)
		checkDot(t, "DotF32, "+what, DotF32, w, w, 1, ld, blocks, x)
		checkDot(t, "DotF32x1, "+what, DotF32x1, w, w, 4, ld, blocks, x)
		checkDot(t, "DotF16, "+what, DotF16, h, wide, 1, ld, blocks, x)
		checkDot(t, "DotF16x1, "+what, DotF16x1, h, wide, 4, ld, blocks, x)
	})
}

type weightedKernel[T any] func(dst *float32, v *T, ldv uintptr, p *float32, n uintptr)

// checkWeighted compares a kernel on n rows of v (values in dense), ld apart.
func checkWeighted[T any](t *testing.T, what string, kernel weightedKernel[T], v []T, dense []float32, ld, n, width int, p, start []float32) {
	t.Helper()
	got, check := guardedCopy(start[:width])
	kernel(&got[0], &v[0], unsafe.Sizeof(v[0])*uintptr(ld), &p[0], uintptr(n))
	check(t)
	want := append([]float32(nil), start[:width]...)
	for i := range n {
		for j := range want {
			want[j] += float32(p[i] * dense[i*ld+j])
		}
	}
	same(t, what, got, want)
}

func TestWeighted(t *testing.T) {
	everyLength(t, func(t *testing.T, what string, s source, n, kind int) {
		const ld = 64 + 5
		v, h := s.floats((n+1)*ld, kind), s.halves((n+1)*ld, kind)
		p, start := s.floats(n+1, kind), s.floats(64, kind)
		wide := widen(h)
		checkWeighted(t, "WeightedF32x1, "+what, WeightedF32x1, v, v, ld, n, 16, p, start)
		checkWeighted(t, "WeightedF32x4, "+what, WeightedF32x4, v, v, ld, n, 64, p, start)
		checkWeighted(t, "WeightedF16x1, "+what, WeightedF16x1, h, wide, ld, n, 16, p, start)
		checkWeighted(t, "WeightedF16x4, "+what, WeightedF16x4, h, wide, ld, n, 64, p, start)
	})
}
