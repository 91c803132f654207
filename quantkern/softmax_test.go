package quantkern

import (
	"fmt"
	"math"
	"testing"
)

func TestSoftmax(t *testing.T) {
	rng := newRand(15)
	for n := range 130 {
		x := floats(rng, n)
		largest := math.Inf(-1)
		for _, v := range x {
			largest = max(largest, float64(v))
		}
		exps := make([]float64, n)
		for i, v := range x {
			exps[i] = float64(Exp(v - float32(largest)))
		}
		wantSum := laneRule64(exps)
		got := append([]float32(nil), x...)
		top, sum := Softmax(got)
		if float64(top) != largest || sum != wantSum {
			t.Fatalf("%d values: maximum %g, sum %g; want %g, %g", n, top, sum, largest, wantSum)
		}
		for i := range got {
			wantBits(t, fmt.Sprintf("%d values, element %d", n, i), got[i], float32(exps[i])*float32(1/wantSum))
			// Rounding x−max costs up to half a last place of that difference.
			below := largest - float64(x[i])
			exact := math.Exp(-below) / wantSum
			if math.Abs(float64(got[i])-exact) > (2e-7+below*6e-8)*exact+1e-44 {
				t.Fatalf("%d values, element %d: %g, exact %g", n, i, got[i], exact)
			}
		}
	}
}

func TestSoftmaxSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	negZero := float32(math.Copysign(0, -1))
	for _, c := range []struct {
		x, want []float32
		max     float32
	}{
		{[]float32{-inf, 3, 3}, []float32{0, 0.5, 0.5}, 3},
		{[]float32{negZero, negZero}, []float32{0.5, 0.5}, 0},
		{[]float32{1, inf}, []float32{nan, nan}, inf},
		{[]float32{1, nan, 2}, []float32{nan, nan, nan}, 2},
		{[]float32{-inf, -inf}, []float32{nan, nan}, -inf},
		{nil, nil, -inf},
	} {
		x := append([]float32(nil), c.x...)
		top, _ := Softmax(x)
		wantBits(t, fmt.Sprint("maximum of ", c.x), top, c.max)
		for i := range x {
			wantBits(t, fmt.Sprint("softmax of ", c.x), x[i], c.want[i])
		}
	}
}
