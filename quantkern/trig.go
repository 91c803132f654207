package quantkern

import (
	"math"
	"math/bits"
)

// Sin is the sine of x (radians) within 0.5001 ulp for every finite x, however
// large; NaN for infinities and NaN.
func Sin(x float32) float32 {
	s, _ := sinCos(x)
	return s
}

// Cos is the cosine of x (radians) within 0.5001 ulp for every finite x, however
// large; NaN for infinities and NaN.
func Cos(x float32) float32 {
	_, c := sinCos(x)
	return c
}

// Taylor coefficients of sin(r)/r and cos(r) in r²; for |r| ≤ π/4 the first
// terms left out are below 2^-45.
var (
	sinSeries = [...]float64{1, -1. / 6, 1. / 120, -1. / 5040, 1. / 362880, -1. / 39916800, 1. / 6227020800}
	cosSeries = [...]float64{1, -1. / 2, 1. / 24, -1. / 720, 1. / 40320, -1. / 3628800, 1. / 479001600, -1. / 87178291200}
)

// sinCos computes both in float64 and rounds once.
func sinCos(x float32) (sin, cos float32) {
	if x == 0 {
		return x, 1 // keeps the sign of zero
	}
	if math.Float32bits(x)&infBits == infBits {
		nan := float32(math.NaN())
		return nan, nan
	}
	quadrant, r := reduceQuadrant(x)
	r2 := float64(r * r)
	s := float32(r * horner(sinSeries[:], r2))
	c := float32(horner(cosSeries[:], r2))
	switch quadrant {
	case 0:
		return s, c
	case 1:
		return c, -s
	case 2:
		return -s, -c
	}
	return -c, s
}

// twoOverPi holds 2/π: 64 zero bits, then the first 256 binary digits.
var twoOverPi = [...]uint64{0, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561}

// reduceQuadrant writes a finite x as (4j + quadrant)·π/2 + r with |r| ≤ π/4,
// in integers (Payne and Hanek, 1983): x = m·2^e with a 24-bit m, and of
// m·2^e·(2/π) only the bits from 2 down to 2^-126 matter, for which 128 digits
// of 2/π that depend on e are enough. The error is below 2^-100 before the
// conversion to float64.
func reduceQuadrant(x float32) (quadrant int, r float64) {
	magnitude := math.Float32bits(x) &^ (1 << 31)
	if magnitude <= 0x3f490fda { // π/4, rounded down
		return 0, float64(x)
	}
	m := uint64(magnitude&(1<<23-1) | 1<<23)
	e := int(magnitude>>23) - 150
	first := 64 + e - 2 // digit of weight 2 after the multiplication by 2^e
	hi, lo := digits(first), digits(first+64)
	carry, low := bits.Mul64(lo, m)
	high := hi*m + carry
	// high:low is x·2/π modulo 4 in units of 2^-126: round to a quadrant.
	quadrant = int((high + 1<<61) >> 62)
	frac := int64(high<<2 | low>>62)
	f := float64(float64(frac)*0x1p-64) + float64(float64(low<<2)*0x1p-128)
	r = f * (math.Pi / 2)
	if math.Signbit(float64(x)) {
		return -quadrant & 3, -r
	}
	return quadrant & 3, r
}

// digits are 64 binary digits of twoOverPi from the given one on.
func digits(first int) uint64 {
	word, shift := first/64, uint(first%64)
	d := twoOverPi[word] << shift
	if word+1 < len(twoOverPi) {
		d |= twoOverPi[word+1] >> (64 - shift) // a shift by 64 gives 0
	}
	return d
}
