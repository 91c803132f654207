package quantkern

import "fmt"

// ReLU2Mul computes dst = relu(gate)² × up, the gate of BitNet b1.58 2B4T. A
// NaN stays a NaN. All slices have the same length; dst may be gate or up.
func ReLU2Mul(dst, gate, up []float32) {
	checkGate("ReLU2Mul", dst, gate, up)
	if active.relu2Mul != nil && whole(len(dst)) {
		active.relu2Mul(&dst[0], &gate[0], &up[0], uintptr(len(dst)/Lanes))
		return
	}
	for i, g := range gate {
		if g <= 0 {
			g = 0
		}
		dst[i] = float32(g*g) * up[i]
	}
}

// SiLUMul computes dst = gate/(1+exp(−gate)) × up, the gate of SwiGLU
// networks (Shazeer, arXiv:2002.05202). All slices have the same length; dst
// may be gate or up.
func SiLUMul(dst, gate, up []float32) {
	checkGate("SiLUMul", dst, gate, up)
	if active.siluMul != nil && whole(len(dst)) {
		active.siluMul(&dst[0], &gate[0], &up[0], uintptr(len(dst)/Lanes))
		return
	}
	for i, g := range gate {
		dst[i] = float32(g/(1+Exp(-g))) * up[i]
	}
}

func checkGate(name string, dst, gate, up []float32) {
	if len(gate) != len(dst) || len(up) != len(dst) {
		panic(fmt.Sprintf("quantkern: %s of %d gates and %d values into %d", name, len(gate), len(up), len(dst)))
	}
}

// Add computes dst += x. Both have the same length.
func Add(dst, x []float32) {
	if len(dst) != len(x) {
		panic(fmt.Sprintf("quantkern: Add of %d values to %d", len(x), len(dst)))
	}
	if active.add != nil && whole(len(dst)) {
		active.add(&dst[0], &x[0], uintptr(len(dst)/Lanes))
		return
	}
	for i, v := range x {
		dst[i] += v
	}
}
