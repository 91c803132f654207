package quantkern

import (
	"fmt"
	"testing"
)

// TestScreenCoarse: coarse bounds of many activation rows, from any group to any other, are those of the
// reference on every tier, and nothing else is written. A row without bounds among them counts as zero.
func TestScreenCoarse(t *testing.T) {
	const untouched = -77
	b := Bounds{Bits: MostBits, Coarse: true}
	rng := newRand(65)
	for _, c := range []struct{ rows, cols int }{{30, 64}, {64, 100}, {131, 640}, {77, 1}} {
		w := floats(rng, c.rows*c.cols)
		s, err := NewScreen(c.rows, c.cols)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fill(mustLookup(t, "F32"), bytesOf(w), 0, c.rows, &Scratch{}); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 9, 10, 15, 16, 17, 32, 33, 49, 70} {
			x := floats(rng, n*c.cols)
			clear(x[n/2*c.cols : (n/2+1)*c.cols])
			g0, g1 := rng.IntN(3), s.Groups()-rng.IntN(3)
			stride := (g1-g0)*screenRows + 3
			bounds := func() []float32 {
				var a ScreenActs
				a.Reset(n+3, c.cols) // leaves other values behind
				for i := range a.coarse.bytes {
					a.coarse.bytes[i] = int8(i)
				}
				a.Reset(n, c.cols)
				for i := range n {
					if ok := a.QuantizeCoarse(i, x[i*c.cols:(i+1)*c.cols]); ok != (i != n/2) {
						t.Fatalf("row %d of %d has bounds: %v", i, n, ok)
					}
				}
				dst := make([]float32, n*stride)
				for i := range dst {
					dst[i] = untouched
				}
				s.Upper(dst, stride, g0, g1, &a, b)
				return dst
			}
			var want []float32
			withTier(t, "generic", func() { want = bounds() })
			for i := stride - 3; i < len(want); i += stride {
				for j := range 3 {
					if want[i+j] != untouched {
						t.Fatal("the reference writes elsewhere")
					}
				}
			}
			for _, tier := range Tiers() {
				withTier(t, tier, func() {
					for i, v := range bounds() {
						wantBits(t, fmt.Sprintf("%s: %d × %d by %d, groups [%d, %d), row %d of activations, %d", tier, c.rows, c.cols, n, g0, g1, i/stride, i%stride), v, want[i])
					}
				})
			}
		}
	}
}
