package quantkern

import "fmt"

// RopeAngles fills cos and sin (dims/2 values each) with the rotary position
// embedding's angles (Su et al., arXiv:2104.09864) of one position, by
// llama.cpp's recurrence in float32: theta_0 = pos×scale,
// theta_{i+1} = theta_i × base^(−2/dims); the angle is theta_i, divided by
// factors[i] unless factors is nil.
func RopeAngles(cos, sin []float32, pos int32, dims int, base, scale float32, factors []float32) {
	half := dims / 2
	if len(cos) < half || len(sin) < half || (factors != nil && len(factors) < half) {
		panic(fmt.Sprintf("quantkern: RopeAngles: %d dimensions need %d values; there are %d cosines, %d sines, %d factors",
			dims, half, len(cos), len(sin), len(factors)))
	}
	theta := float32(pos) * scale
	step := Pow(base, -2/float32(dims))
	for i := range half {
		angle := theta
		if factors != nil {
			angle /= factors[i]
		}
		sin[i], cos[i] = sinCos(angle)
		theta *= step
	}
}

// Rope rotates one head in place: its first 2·len(cos) elements in pairs,
// (i, i+len(cos)) for neox, (2i, 2i+1) otherwise. Elements beyond stay.
// cos and sin come from RopeAngles.
func Rope(x, cos, sin []float32, neox bool) {
	half := len(cos)
	if len(sin) != half || len(x) < 2*half {
		panic(fmt.Sprintf("quantkern: Rope of a head of %d with %d cosines and %d sines", len(x), half, len(sin)))
	}
	if neox && active.ropeNeoX != nil && whole(half) {
		active.ropeNeoX(&x[0], &cos[0], &sin[0], uintptr(half/Lanes))
		return
	}
	step, partner := 2, 1
	if neox {
		step, partner = 1, half
	}
	for i, c := range cos {
		s := sin[i]
		p := i * step
		a, b := x[p], x[p+partner]
		x[p] = float32(a*c) - float32(b*s)
		x[p+partner] = float32(a*s) + float32(b*c)
	}
}
