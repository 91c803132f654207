package quantkern

import "math"

// GELUMul computes dst = gelu(gate) × up with the tanh form of the Gaussian
// error linear unit (Hendrycks and Gimpel, arXiv:1606.08415):
// x/2 × (1 + tanh(√(2/π) × (x + 0.044715 x³))), which is x/(1 + exp(−2t)) for
// tanh's argument t. All slices have the same length; dst may be gate or up.
func GELUMul(dst, gate, up []float32) {
	checkGate("GELUMul", dst, gate, up)
	const (
		cubic = 0.044715
		twice = float32(2 * math.Sqrt2 / math.SqrtPi) // 2 × √(2/π)
	)
	for i, x := range gate {
		t := x + float32(float32(cubic*x)*float32(x*x))
		dst[i] = float32(x/(1+Exp(-float32(twice*t)))) * up[i]
	}
}
