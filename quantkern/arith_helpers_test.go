package quantkern

import (
	"math"
	"math/rand/v2"
	"testing"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x7f4a7c15)) }

// floats are values of both signs over some binary orders of magnitude, made
// without library functions so that they are the same everywhere.
func floats(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = (rng.Float32()*2 - 1) * float32(uint32(1)<<rng.Uint32N(6))
	}
	return x
}

func int8s(rng *rand.Rand, n int) []int8 {
	q := make([]int8, n)
	for i := range q {
		q[i] = int8(rng.Uint32())
	}
	return q
}

func tritsOf(rng *rand.Rand, n, kinds int) []int8 {
	t := make([]int8, n)
	for i := range t {
		t[i] = int8(rng.IntN(kinds)) - 1
	}
	return t
}

func wantBits(t *testing.T, what string, got, want float32) {
	t.Helper()
	if math.Float32bits(got) != math.Float32bits(want) && (got == got || want == want) {
		t.Fatalf("%s: got %g (%#x), want %g (%#x)", what, got, math.Float32bits(got), want, math.Float32bits(want))
	}
}

func wantPanic(t *testing.T, what string, fn func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	fn()
}
