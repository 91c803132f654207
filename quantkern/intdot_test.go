package quantkern

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// packedDot is the integer dot of MulTernary.
func packedDot(trits, q []int8) int32 {
	groups := groupsOf(len(q))
	padded := make([]int8, groups*groupValues)
	copy(padded, trits)
	w, a := make([]uint64, groups*groupWords), make([]uint64, groups*groupWords)
	packTrits(w, asBytes(padded))
	packActivations(a, q)
	return dotWords(w, a)
}

func bigDot(trits, q []int8) *big.Int {
	sum := new(big.Int)
	for i, v := range trits {
		sum.Add(sum, new(big.Int).Mul(big.NewInt(int64(v)), big.NewInt(int64(q[i]))))
	}
	return sum
}

func TestIntegerDotLengths(t *testing.T) {
	rng := newRand(2)
	for n := range 301 {
		trits, q := tritsOf(rng, n, 4), int8s(rng, n)
		if got, want := packedDot(trits, q), bigDot(trits, q); want.Cmp(big.NewInt(int64(got))) != 0 {
			t.Fatalf("%d values: %d, want %v", n, got, want)
		}
	}
}

func TestIntegerDotExtremes(t *testing.T) {
	for _, n := range []int{1, 7, 8, 63, 64, 65, 128, 300, 23040, 100003} {
		for _, trit := range []int8{-1, 0, 1, 2} {
			for _, q := range []int8{-128, -127, -1, 0, 1, 127} {
				ts, qs := make([]int8, n), make([]int8, n)
				for i := range n {
					ts[i], qs[i] = trit, q
				}
				if got, want := int64(packedDot(ts, qs)), int64(n)*int64(trit)*int64(q); got != want {
					t.Fatalf("%d × (%d·%d): %d, want %d", n, trit, q, got, want)
				}
			}
		}
	}
}

// Every lower field as far from the highest one as it can be: what they
// borrow or carry must not show.
func TestIntegerDotFieldCarries(t *testing.T) {
	rng := newRand(3)
	extremes := []int8{-128, 127}
	kinds := []int8{-1, 2}
	for range 2000 {
		n := 64 + rng.IntN(70)
		ts, qs := make([]int8, n), make([]int8, n)
		for i := range n {
			ts[i], qs[i] = kinds[rng.IntN(2)], extremes[rng.IntN(2)]
		}
		if got, want := packedDot(ts, qs), bigDot(ts, qs); want.Cmp(big.NewInt(int64(got))) != 0 {
			t.Fatalf("%d values: %d, want %v", n, got, want)
		}
	}
}

func TestIntegerDotProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := rapid.SliceOfN(rapid.Int8(), 0, 200).Draw(t, "q")
		trits := rapid.SliceOfN(rapid.Int8Range(-1, 2), len(q), len(q)).Draw(t, "trits")
		if got, want := packedDot(trits, q), bigDot(trits, q); want.Cmp(big.NewInt(int64(got))) != 0 {
			t.Fatalf("%d, want %v", got, want)
		}
	})
}
