package quantkern

import "math"

// Softmax replaces x by exp(x−max)/Σexp(x−max). The exponentials (Exp) are
// float32, their sum is taken in float64 lanes, and each is multiplied by
// float32(1/sum). It returns the maximum (never −0) and the sum, from which
// log-probabilities follow: x − max − ln(sum). −Inf gets probability 0; a NaN
// or +Inf, or nothing but −Inf, makes every value NaN; an empty x gives −Inf
// and 0.
func Softmax(x []float32) (max float32, sum float64) {
	if active.expSum != nil && whole(len(x)) {
		blocks := uintptr(len(x) / Lanes)
		if max = active.maxOf(&x[0], blocks); max == 0 {
			max = 0
		}
		sum = active.expSum(&x[0], blocks, max)
		active.scale(&x[0], &x[0], blocks, float32(1/sum))
		return max, sum
	}
	max = float32(math.Inf(-1))
	for _, v := range x {
		if v > max {
			max = v
		}
	}
	if max == 0 {
		max = 0 // the order of 0 and −0 in x must not show
	}
	for i, v := range x {
		x[i] = Exp(v - max)
	}
	sum = sum64(x)
	scale := float32(1 / sum)
	for i := range x {
		x[i] *= scale
	}
	return max, sum
}
