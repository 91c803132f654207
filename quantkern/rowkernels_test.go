package quantkern

import (
	"fmt"
	"math"
	"testing"
)

func TestRMSNorm(t *testing.T) {
	rng := newRand(22)
	for n := 1; n < 200; n++ {
		x, w := floats(rng, n), floats(rng, n)
		terms := make([]float64, n)
		var exactMean float64
		for i, v := range x {
			terms[i] = float64(float32(v * v))
			exactMean += float64(v) * float64(v) / float64(n)
		}
		mean := float32(laneRule64(terms) / float64(n))
		scale := 1 / float32(math.Sqrt(float64(mean+1e-5)))
		inPlace := append([]float32(nil), x...)
		RMSNorm(inPlace, inPlace, w, 1e-5)
		dst := make([]float32, n)
		RMSNorm(dst, x, w, 1e-5)
		for i, v := range x {
			wantBits(t, fmt.Sprintf("%d values, element %d", n, i), dst[i], float32(v*scale)*w[i])
			wantBits(t, fmt.Sprintf("%d values in place, element %d", n, i), inPlace[i], dst[i])
			exact := float64(v) / math.Sqrt(exactMean+1e-5) * float64(w[i])
			if math.Abs(float64(dst[i])-exact) > 4e-7*math.Abs(exact) {
				t.Fatalf("%d values, element %d: %g, exact %g", n, i, dst[i], exact)
			}
		}
	}
}

func TestRopeAngles(t *testing.T) {
	rng := newRand(23)
	for _, dims := range []int{2, 64, 128} {
		half := dims / 2
		cos, sin := make([]float32, half), make([]float32, half)
		factors := make([]float32, half)
		for i := range factors {
			factors[i] = 1 + 7*rng.Float32()
		}
		for _, pos := range []int32{0, 1, 7, 4095, 131071} {
			for _, f := range [][]float32{nil, factors} {
				RopeAngles(cos, sin, pos, dims, 500000, 0.5, f)
				theta := float32(pos) * 0.5
				step := float32(math.Pow(500000, float64(-2/float32(dims))))
				for i := range half {
					angle := theta
					if f != nil {
						angle /= f[i]
					}
					s, c := math.Sincos(float64(angle))
					wantBits(t, fmt.Sprintf("cos %d of position %d", i, pos), cos[i], float32(c))
					wantBits(t, fmt.Sprintf("sin %d of position %d", i, pos), sin[i], float32(s))
					// The recurrence stays near the closed form.
					exact := float64(pos) * 0.5 * math.Pow(500000, -2*float64(i)/float64(dims))
					if math.Abs(float64(theta)-exact) > 1e-5*exact {
						t.Fatalf("angle %d of position %d: %g, exact %g", i, pos, theta, exact)
					}
					theta *= step
				}
			}
		}
	}
}

func TestRopePairs(t *testing.T) {
	rng := newRand(24)
	cos, sin := floats(rng, 3), floats(rng, 3)
	for _, neox := range []bool{true, false} {
		x := floats(rng, 8) // two elements do not rotate
		want := append([]float32(nil), x...)
		for i := range 3 {
			a, b := 2*i, 2*i+1
			if neox {
				a, b = i, i+3
			}
			want[a] = float32(x[a]*cos[i]) - float32(x[b]*sin[i])
			want[b] = float32(x[a]*sin[i]) + float32(x[b]*cos[i])
		}
		Rope(x, cos, sin, neox)
		for i := range x {
			wantBits(t, fmt.Sprintf("neox %v, element %d", neox, i), x[i], want[i])
		}
	}
	wantPanic(t, "short head", func() { Rope(make([]float32, 5), cos, sin, true) })
	wantPanic(t, "short angles", func() { RopeAngles(cos, sin, 1, 8, 1e4, 1, nil) })
}

func TestGates(t *testing.T) {
	rng := newRand(25)
	gate, up := floats(rng, 100), floats(rng, 100)
	gate[0], gate[1], gate[2] = float32(math.NaN()), float32(math.Copysign(0, -1)), -200
	relu, silu := make([]float32, 100), make([]float32, 100)
	ReLU2Mul(relu, gate, up)
	SiLUMul(silu, gate, up)
	for i, g := range gate {
		r := g
		if g < 0 {
			r = 0
		}
		wantBits(t, fmt.Sprintf("ReLU² of %g", g), relu[i], float32(r*r)*up[i])
		wantBits(t, fmt.Sprintf("SiLU of %g", g), silu[i], float32(g/(1+Exp(-g)))*up[i])
		exact := float64(g) / (1 + math.Exp(-float64(g))) * float64(up[i]) // below the range of float32 for −200
		if math.Abs(float64(silu[i])-exact) > 4e-7*math.Abs(exact)+1e-45 {
			t.Fatalf("SiLU of %g: %g, exact %g", g, silu[i], exact)
		}
	}
	aliasGate, aliasUp := append([]float32(nil), gate...), append([]float32(nil), up...)
	ReLU2Mul(aliasGate, aliasGate, up)
	SiLUMul(aliasUp, gate, aliasUp)
	sum := append([]float32(nil), up...)
	Add(sum, gate)
	for i := range gate {
		wantBits(t, "ReLU2Mul over its gate", aliasGate[i], relu[i])
		wantBits(t, "SiLUMul over up", aliasUp[i], silu[i])
		wantBits(t, "Add", sum[i], up[i]+gate[i])
	}
	short := make([]float32, 3)
	wantPanic(t, "ReLU2Mul", func() { ReLU2Mul(short, gate, up) })
	wantPanic(t, "SiLUMul", func() { SiLUMul(short, short, up) })
	wantPanic(t, "Add", func() { Add(short, up) })
	wantPanic(t, "RMSNorm", func() { RMSNorm(short, short, up, 1) })
}
