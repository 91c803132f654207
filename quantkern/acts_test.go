package quantkern

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// actsOf are rows of given values and scales.
func actsOf(q []int8, s []float32, cols int) *Acts {
	var a Acts
	a.Reset(len(s), cols)
	row := make([]int8, a.stride)
	for i := range s {
		copy(row, q[i*cols:(i+1)*cols])
		a.scale[i], a.sum[i] = s[i], 0
		for _, v := range row[:cols] {
			a.sum[i] += int32(v)
		}
		if active.paired {
			permute(row, func(place int) int { return 2*(place%4) + place/4 })
		}
		for v := 0; v < a.stride; v += tileCodes {
			n := min(tileCodes, a.stride-v)
			copy(a.q[a.at(i, v):][:n], row[v:])
		}
		clear(row)
	}
	return &a
}

// TestActs: what was quantized comes back in the order of the columns, whatever the order in
// memory and whatever was there before.
func TestActs(t *testing.T) {
	for _, tier := range Tiers() {
		withTier(t, tier, func() {
			rng := newRand(62)
			var a Acts
			for _, cols := range []int{4, 100, 128, 256, 384, 640, 2560} {
				for _, n := range []int{40, 1, 7, 8, 17, 33} {
					a.Reset(n, cols)
					for i := range a.q {
						a.q[i] = 99
					}
					x := normals(rng, n*cols)
					x[cols-1] = float32(math.Inf(1)) // in the first row
					for i := range n {
						a.Quantize(i, x[i*cols:(i+1)*cols])
					}
					q, buf := make([]int8, cols), make([]int8, a.stride)
					for i := range n {
						s, sum := QuantizeRow(q, x[i*cols:(i+1)*cols]), int32(0)
						for _, v := range q {
							sum += int32(v)
						}
						what := fmt.Sprintf("%s: row %d of %d × %d", tier, i, n, cols)
						if got := a.natural(i, buf); !slices.Equal(got, q) || a.sum[i] != sum {
							t.Fatalf("%s: %v with sum %d, want %v with %d", what, got, a.sum[i], q, sum)
						}
						wantBits(t, what, a.scale[i], s)
					}
				}
			}
		})
	}
}
