package quantkern

import (
	"flag"
	"math"
	"testing"
)

var everyFloat = flag.Bool("every-float", false, "check the math functions on all float32 instead of a sample (minutes)")

// sample calls fn for float32 values of both signs and all exponents: all of
// them with -every-float, otherwise every stride-th bit pattern.
func sample(stride uint32, fn func(x float32)) {
	if *everyFloat {
		stride = 1
	}
	for b := uint64(0); b < infBits; b += uint64(stride) {
		fn(math.Float32frombits(uint32(b)))
		fn(math.Float32frombits(uint32(b) | 1<<31))
	}
}

// ulps is the distance of got from the exact value in units of the last place
// that float32 has there. Results that must overflow count as exact.
func ulps(got float32, exact float64) float64 {
	if math.IsNaN(exact) || math.IsInf(float64(float32(exact)), 0) {
		if math.IsNaN(exact) == (got != got) && (math.IsNaN(exact) || got == float32(exact)) {
			return 0
		}
		return math.Inf(1)
	}
	_, e := math.Frexp(exact)
	unit := math.Ldexp(1, max(e-24, -149))
	return math.Abs(float64(got)-exact) / unit
}

func TestMathBounds(t *testing.T) {
	for _, f := range []struct {
		name   string
		own    func(float32) float32
		exact  func(float64) float64
		bound  float64
		stride uint32
	}{
		{"Exp", Exp, math.Exp, 1, 1009},
		{"Log", Log, math.Log, 0.5001, 2003},
		{"Sin", Sin, math.Sin, 0.5001, 2003},
		{"Cos", Cos, math.Cos, 0.5001, 2003},
	} {
		t.Run(f.name, func(t *testing.T) {
			worst, at := -1.0, float32(0)
			sample(f.stride, func(x float32) {
				if u := ulps(f.own(x), f.exact(float64(x))); u > worst {
					worst, at = u, x
				}
			})
			t.Logf("worst error %.5f ulp at %g (%#x)", worst, at, math.Float32bits(at))
			if worst > f.bound {
				t.Errorf("error %.5f ulp at %g (got %g, exact %g), above the stated bound %g",
					worst, at, f.own(at), f.exact(float64(at)), f.bound)
			}
		})
	}
}
