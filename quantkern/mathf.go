package quantkern

import "math"

// Coefficients of exp(r) = 1 + r + r²·(e0 + e1·r + …) for |r| ≤ ln2/2:
// interpolation at the Chebyshev nodes, rounded to float32.
const (
	exp0 float32 = 0.5
	exp1 float32 = 0x1.555556p-3
	exp2 float32 = 0x1.5554e8p-5
	exp3 float32 = 0x1.1110e0p-7
	exp4 float32 = 0x1.6d44b2p-10
	exp5 float32 = 0x1.a12652p-13

	log2e float32 = math.Log2E
	ln2Hi float32 = 355.0 / 512 // nine bits: its product with an exponent is exact
	ln2Lo float32 = math.Ln2 - 355.0/512
)

// Exp is e^x within 1 ulp of the exact value (subnormal results included),
// from float32 operations alone that every vector unit has: the nearest
// multiple of ln2 is subtracted in two pieces, a polynomial follows, and two
// multiplications by powers of two. Above 88.72284 it is +Inf, below −103.972
// it is 0, Exp(NaN) is NaN.
func Exp(x float32) float32 {
	if x != x {
		return x
	}
	// Beyond these bounds the result is +Inf or 0 by itself.
	x = min(max(x, -104), 89)
	t := float32(x*log2e) + roundMagic
	k := int32(math.Float32bits(t)) - roundMagicBits
	n := t - roundMagic
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	p := float32(exp5*r) + exp4
	p = float32(p*r) + exp3
	p = float32(p*r) + exp2
	p = float32(p*r) + exp1
	p = float32(p*r) + exp0
	y := 1 + (r + float32(float32(r*r)*p))
	// One factor alone would leave the range of normal numbers too early.
	h := k >> 1
	return float32(y*pow2(h)) * pow2(k-h)
}

// pow2 is 2^k for −126 ≤ k ≤ 127.
func pow2(k int32) float32 { return math.Float32frombits(uint32(k+127) << 23) }

// Log is ln x, computed in float64 and rounded once: within 0.5001 ulp.
// Log(0) is −Inf, Log(+Inf) +Inf, Log of a negative number or NaN is NaN.
func Log(x float32) float32 {
	switch {
	case x != x || x > math.MaxFloat32:
		return x
	case x == 0:
		return float32(math.Inf(-1))
	case x < 0:
		return float32(math.NaN())
	}
	return float32(log64(x))
}

// Pow is x^y = e^(y·ln x), computed in float64 and rounded once: within
// 0.5001 ulp. Special cases are those of C's and Go's pow: x^0 = 1^y = 1, a
// negative x needs an integer y (odd ones give a negative result), otherwise
// NaN.
func Pow(x, y float32) float32 {
	switch {
	case y == 0 || x == 1:
		return 1
	case x != x:
		return x
	case y != y:
		return y
	}
	magnitude := math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
	sign := float32(1)
	if math.Signbit(float64(x)) && isOdd(y) {
		sign = -1
	}
	switch {
	case magnitude == 0 || magnitude > math.MaxFloat32:
		if (magnitude == 0) == (y < 0) {
			return sign * float32(math.Inf(1))
		}
		return sign * 0
	case math.Abs(float64(y)) > math.MaxFloat32:
		switch {
		case magnitude == 1:
			return 1
		case (magnitude > 1) == (y > 0):
			return float32(math.Inf(1))
		}
		return 0
	case x < 0 && math.Floor(float64(y)) != float64(y):
		return float32(math.NaN())
	}
	return sign * float32(exp64(float64(y)*log64(magnitude)))
}

// isOdd reports whether y is an odd integer.
func isOdd(y float32) bool {
	v := math.Abs(float64(y))
	return v < 1<<24 && math.Floor(v) == v && int64(v)&1 == 1
}
