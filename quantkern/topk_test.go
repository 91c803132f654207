package quantkern

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sortedIndices orders all indices as TopK promises to.
func sortedIndices(x []float32) []int32 {
	ids := make([]int32, len(x))
	for i := range ids {
		ids[i] = int32(i)
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		va, vb := x[a], x[b]
		switch {
		case va > vb || vb != vb && va == va:
			return -1
		case va < vb || va != va && vb == vb:
			return 1
		}
		return 0
	})
	return ids
}

func TestTopK(t *testing.T) {
	value := rapid.OneOf(
		rapid.SampledFrom([]float32{0, 1, 2, -1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.Copysign(0, -1))}),
		rapid.Float32())
	var ids []int32
	var vals []float32
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(value, 0, 60).Draw(t, "x")
		k := rapid.IntRange(-1, 65).Draw(t, "k")
		ids, vals = TopK(x, k, ids, vals)
		want := sortedIndices(x)[:max(0, min(k, len(x)))]
		if !slices.Equal(ids, want) || len(vals) != len(ids) {
			t.Fatalf("got %v, want %v", ids, want)
		}
		for i, id := range ids {
			if math.Float32bits(vals[i]) != math.Float32bits(x[id]) {
				t.Fatalf("value %d is %g, want x[%d] = %g", i, vals[i], id, x[id])
			}
		}
	})
}

func TestTopKLarge(t *testing.T) {
	x := floats(newRand(21), 20000)
	for i := range x { // many equal values
		x[i] = float32(math.Round(float64(x[i]) * 50))
	}
	want := sortedIndices(x)
	for _, k := range []int{1, 2, 40, 1000, len(x) / 2, len(x)} {
		ids, _ := TopK(x, k, nil, nil)
		if !slices.Equal(ids, want[:k]) {
			t.Errorf("k = %d: the order is wrong", k)
		}
	}
}
