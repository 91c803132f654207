package quantkern

import "math"

// float64 helpers of the functions that are not on the vectorised path. Their
// relative errors stay below 2^-48, so that rounding to float32 is correct but
// for about one argument in ten million.

const (
	ln2Hi64 = 0x1.62e42fefp-1       // 33 bits: its product with an exponent is exact
	ln2Lo64 = 0x1.473de6af278edp-34 // ln2 − ln2Hi64
	log2e64 = math.Log2E
)

// logSeries are the coefficients of artanh(s) = s + s³/3 + s⁵/5 + …; |s| is
// at most 3−2√2, so that the first term left out is below 2^-57 of the sum.
var logSeries = [...]float64{1. / 3, 1. / 5, 1. / 7, 1. / 9, 1. / 11, 1. / 13, 1. / 15, 1. / 17, 1. / 19, 1. / 21}

// log64 is ln x of a positive finite x.
func log64(x float32) float64 {
	bits := math.Float64bits(float64(x))
	k := int(bits>>52) - 1023
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	if m > math.Sqrt2 {
		m /= 2
		k++
	}
	s := (m - 1) / (m + 1)
	s2 := float64(s * s)
	tail := float64(float64(s*2) * float64(s2*horner(logSeries[:], s2)))
	n := float64(k)
	return float64(n*ln2Hi64) + (float64(s*2) + (tail + float64(n*ln2Lo64)))
}

// expSeries are the coefficients 1/n! of exp; for |r| ≤ ln2/2 the first term
// left out is below 2^-58.
var expSeries = [...]float64{1, 1, 1. / 2, 1. / 6, 1. / 24, 1. / 120, 1. / 720, 1. / 5040, 1. / 40320,
	1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800}

// exp64 is e^x for results in the range of float32; beyond it returns +Inf or 0.
func exp64(x float64) float64 {
	switch {
	case x > 89:
		return math.Inf(1)
	case x < -104:
		return 0
	}
	n := math.Floor(float64(x*log2e64) + 0.5)
	r := x - float64(n*ln2Hi64)
	r -= float64(n * ln2Lo64)
	return horner(expSeries[:], r) * math.Float64frombits(uint64(int64(n)+1023)<<52)
}

// horner is Σ c[i]·x^i, each product rounded.
func horner(c []float64, x float64) float64 {
	sum := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		sum = float64(sum*x) + c[i]
	}
	return sum
}
