//go:build !noasm

package neon_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/cpuid/v2"

	"tritflow/quantkern"
)

const maxBlocks = 40

// TestMain has quantkern itself on plain Go: it is what the kernels are
// compared with.
func TestMain(m *testing.M) {
	if _, err := quantkern.UseTier("generic"); err != nil {
		panic(err)
	}
	m.Run()
}

// needDot skips tests of dot-product kernels on processors without it.
func needDot(t *testing.T) {
	t.Helper()
	if !cpuid.CPU.Supports(cpuid.ASIMDDP) {
		t.Skip("this processor has no dot-product instruction (ASIMDDP)")
	}
}

// specials are the float32 that break rules: zeros, subnormals, limits,
// infinities, NaNs quiet and signalling, and the edges of Exp and f16.
var specials = []uint32{
	0, 1 << 31, 1, 1<<31 | 1, 0x007fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
	0x7fc00000, 0xffc00000, 0x7fc12345, 0x7f800001, 0xff812345, 0x7fffffff,
	0x3f800000, 0xbf800000, 0x42b17218, 0x42b17217, 0x42b20000, 0xc2cff1b5, 0xc2cff1b4, 0xc2d00000, 0xc2d20000, 0xc2aeac50,
	0x477fefff, 0x477ff000, 0x477fe000, 0x38800000, 0x387fe000, 0x387ff000, 0x33800000, 0x33000000, 0x33000001, 0x337fffff, 0xb3800000,
	0x3f801000, 0x3f803000, 0x3f800fff, 0x3f801001, 0x4b000000, 0x4b400000, 0xcb000000,
}

// source draws test data.
type source struct{ *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 0x5eed))} }

// The kinds of rows that source.floats draws.
const (
	ordinary = iota // normal distribution
	wild            // magnitudes of the whole range, subnormals included, all finite
	anyBits         // every bit pattern
	special         // a list of edges
	spread          // forty binary orders of magnitude: float64 sums of squares round
	steep           // -40..0: float64 sums of exponentials round
	kindCount
)

func (s source) floats(n, kind int) []float32 {
	x := make([]float32, n)
	for i := range x {
		switch kind {
		case ordinary:
			x[i] = float32(s.NormFloat64())
		case wild:
			bits := s.Uint32()
			if bits&0x7f800000 == 0x7f800000 {
				bits ^= 0x00800000
			}
			x[i] = math.Float32frombits(bits)
		case anyBits:
			x[i] = math.Float32frombits(s.Uint32())
		case special:
			x[i] = math.Float32frombits(specials[s.IntN(len(specials))])
		case spread:
			bits := s.Uint32()
			x[i] = math.Float32frombits(bits&0x807fffff | (107+bits>>23%41)<<23)
		case steep:
			x[i] = -40 * s.Float32()
		}
	}
	return x
}

func (s source) halves(n, kind int) []uint16 {
	h := make([]uint16, n)
	for i := range h {
		if kind == ordinary {
			h[i] = quantkern.F32ToF16(float32(s.NormFloat64()))
			continue
		}
		h[i] = uint16(s.Uint32())
	}
	return h
}

// ptr points at the first value of x, or where it would be.
func ptr[T any](x []T) *T { return &x[:cap(x)][0] }

// sentinel stands behind and between what kernels may write.
const sentinel float32 = -123456.75

// guarded returns n values with sentinels behind them and a check of these.
func guarded(n int) (x []float32, check func(t *testing.T)) {
	all := make([]float32, n+16)
	for i := range all {
		all[i] = sentinel
	}
	return all[:n], func(t *testing.T) {
		t.Helper()
		for i, v := range all[n:] {
			if v != sentinel {
				t.Fatalf("value %d behind the end of %d was overwritten with %v", i, n, v)
			}
		}
	}
}

func guardedCopy(src []float32) (x []float32, check func(t *testing.T)) {
	x, check = guarded(len(src))
	copy(x, src)
	return x, check
}

// same compares bits; only the sign and payload of a NaN may differ.
func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if !same32(got[i], want[i]) {
			t.Fatalf("%s: value %d of %d is %v (%08x), want %v (%08x)", what, i, len(want),
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

func same32(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func same64(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}

// everyLength runs check on all lengths in blocks and kinds of data.
func everyLength(t *testing.T, check func(t *testing.T, what string, s source, blocks, kind int)) {
	t.Helper()
	for blocks := 0; blocks <= maxBlocks; blocks++ {
		for kind := range kindCount {
			for seed := range 3 {
				s := newSource(uint64(blocks*100 + kind*10 + seed))
				check(t, fmt.Sprintf("blocks %d, kind %d, seed %d", blocks, kind, seed), s, blocks, kind)
			}
		}
	}
}

// lanes64 adds up in sixteen float64 lanes and their tree.
func lanes64(x []float32) float64 {
	var acc [quantkern.Lanes]float64
	for i, v := range x {
		acc[i%len(acc)] += float64(v)
	}
	for w := len(acc) / 2; w > 0; w /= 2 {
		for l := range w {
			acc[l] += acc[l+w]
		}
	}
	return acc[0]
}
