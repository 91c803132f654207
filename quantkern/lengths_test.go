package quantkern

import (
	"fmt"
	"slices"
	"testing"
)

// TestProductLengths: a product that does not fit its slices is refused on every tier,
// before a kernel has written or read beyond one of them.
func TestProductLengths(t *testing.T) {
	const rows, cols = 64, 256
	for _, tier := range Tiers() {
		withTier(t, tier, func() {
			for _, n := range []int{1, 2, 3, 12, 40} {
				for _, name := range []string{"I2_S", "TQ2_0", "TQ1_0"} {
					w := ternaryMatrix(t, newRand(60), name, rows, cols, true)
					a, x := new(Acts), floats(newRand(61), n*cols)
					a.Reset(n, cols)
					for i := range n {
						a.Quantize(i, x[i*cols:][:cols])
					}
					refuses(t, fmt.Sprintf("%s of %d on %s", name, n, tier), n, rows, func(dst []float32, stride, r0, r1 int) {
						MulTernary(dst, stride, w, r0, r1, a, new(Scratch))
					})
				}
				for _, name := range denseNames() {
					c := mustLookup(t, name)
					data, x := randomBlocks(newRand(62), c, rows, cols, true), floats(newRand(63), n*cols)
					what := fmt.Sprintf("%s of %d on %s", name, n, tier)
					refuses(t, what, n, rows, func(dst []float32, stride, r0, r1 int) {
						MulDense(dst, stride, c, data, rows, cols, r0, r1, x, n, new(Scratch))
					})
					wantPanic(t, what+": a matrix cut short", func() {
						MulDense(make([]float32, n*rows), rows, c, data[:len(data)-1:len(data)-1], rows, cols, 0, rows, x, n, new(Scratch))
					})
				}
			}
			c := mustLookup(t, "F16")
			data := randomBlocks(newRand(64), c, rows, cols, true)
			s, err := NewScreen(rows, cols)
			if err != nil {
				t.Fatal(err)
			}
			wantPanic(t, "Screen.Fill of a matrix cut short on "+tier, func() {
				_ = s.Fill(c, data[:len(data)-1:len(data)-1], 0, rows, new(Scratch))
			})
		})
	}
}

// refuses calls mul with a dst that lacks one value, and with rows that the matrix lacks.
func refuses(t *testing.T, what string, n, rows int, mul func(dst []float32, stride, r0, r1 int)) {
	t.Helper()
	const canary = 1.5
	room := slices.Repeat([]float32{canary}, (n+1)*rows)
	short := n*rows - 1
	wantPanic(t, what+": one value too few", func() { mul(room[:short:short], rows, 0, rows) })
	if slices.ContainsFunc(room, func(v float32) bool { return v != canary }) {
		t.Errorf("%s: a product that was refused has written", what)
	}
	wide := make([]float32, n*(rows+4))
	wantPanic(t, what+": rows beyond the matrix", func() { mul(wide, rows+4, 0, rows+4) })
	wantPanic(t, what+": rows before the matrix", func() { mul(wide, rows+4, -4, rows) })
	wantPanic(t, what+": a negative distance", func() { mul(wide, -rows, 0, rows) })
}

// TestDotRowOfAnyCodec: also of those whose rows do not lie by themselves.
func TestDotRowOfAnyCodec(t *testing.T) {
	const rows, cols = 64, 768
	rng := newRand(65)
	x := floats(rng, cols)
	for _, name := range Names() {
		c := mustLookup(t, name)
		data := make([]byte, c.Size(rows, cols))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		want := make([]float32, rows)
		MulDense(want, rows, c, data, rows, cols, 0, rows, x, 1, new(Scratch))
		for _, r := range []int{0, 5, rows - 1} {
			got := DotRow(c, data, rows, cols, r, x, new(Scratch))
			wantSame(t, fmt.Sprintf("%s, row %d", name, r), want[r:r+1], []float32{got})
		}
	}
}
