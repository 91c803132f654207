package quantkern

import (
	"fmt"
	"testing"
)

// TestPanels: products of many activation rows are those of each row by itself, from any
// row of a matrix to any other, and nothing else is written.
func TestPanels(t *testing.T) {
	const untouched = -77
	for _, tier := range Tiers() {
		withTier(t, tier, func() {
			rng := newRand(63)
			var scratch Scratch
			for _, c := range []struct {
				name    string
				uniform bool
				cols    int
			}{{"I2_S", true, 128}, {"I2_S", true, 384}, {"I2_S", true, 1280}, {"TQ2_0", true, 768}, {"TQ2_0", false, 512}, {"TQ1_0", true, 512}, {"I2_S_C", true, 128}} {
				for _, rows := range []int{31, 32, 33, 100} {
					if mustLookup(t, c.name).Check(rows, c.cols) != nil {
						continue
					}
					w := ternaryMatrix(t, rng, c.name, rows, c.cols, c.uniform)
					for _, n := range []int{8, 15, 16, 17, 32, 33, 49, 65} {
						q, s := int8s(rng, n*c.cols), make([]float32, n)
						for i := range s {
							s[i] = 1 + 100*rng.Float32()
						}
						acts := actsOf(q, s, c.cols)
						stride := rows + 3
						dst := make([]float32, n*stride)
						for i := range dst {
							dst[i] = untouched
						}
						r0, r1 := rng.IntN(rows), rows-rng.IntN(3)
						MulTernary(dst, stride, w, r0, r1, acts, &scratch)
						// A few of them are enough for the reference.
						for _, i := range []int{0, rng.IntN(n), n - 1} {
							for r := range stride {
								want := float32(untouched)
								if r >= r0 && r < r1 {
									want = naiveTernary(w, r, q[i*c.cols:(i+1)*c.cols], s[i])
								}
								wantBits(t, fmt.Sprintf("%s: %s %d × %d by %d, [%d, %d), row %d of activations, %d", tier, c.name, rows, c.cols, n, r0, r1, i, r), dst[i*stride+r], want)
							}
						}
					}
				}
			}
		})
	}
}

// TestPanelsMemory: a product allocates nothing once it has what it said that it would take.
func TestPanelsMemory(t *testing.T) {
	if active.panels.multiply == nil {
		t.Skip("no tile registers")
	}
	rng := newRand(64)
	const rows, cols = 192, 512
	w := ternaryMatrix(t, rng, "I2_S", rows, cols, true)
	for _, n := range []int{10, 40, 70, 500} {
		acts := actsOf(int8s(rng, n*cols), make([]float32, n), cols)
		dst := make([]float32, n*rows)
		var scratch Scratch
		multiply := func() { MulTernary(dst, rows, w, 0, rows, acts, &scratch) }
		multiply()
		if n := testing.AllocsPerRun(20, multiply); n != 0 {
			t.Errorf("%g allocations a product", n)
		}
		said, tiles := ProductBytes(n, cols)
		if have := scratch.Bytes(); have > said || have < 4*n*panelRows {
			t.Errorf("%d rows: scratch of %d bytes, at most %d were said", n, have, said)
		}
		if have := len(acts.q); have > n*cols+tiles {
			t.Errorf("%d rows: %d bytes of activations, at most %d were said", n, have, n*cols+tiles)
		}
	}
}
