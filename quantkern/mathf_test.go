package quantkern

import (
	"flag"
	"fmt"
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

func TestMathSpecialValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	negZero := math.Copysign(0, -1)
	for _, c := range []struct {
		name    string
		fn      func(float32) float32
		x, want float64
	}{
		{"Exp", Exp, 0, 1}, {"Exp", Exp, negZero, 1}, {"Exp", Exp, inf, inf}, {"Exp", Exp, -inf, 0}, {"Exp", Exp, nan, nan},
		{"Exp", Exp, 88.72284, inf}, {"Exp", Exp, 1e30, inf}, {"Exp", Exp, -103.98, 0}, {"Exp", Exp, -1e30, 0},
		{"Exp", Exp, -103.97, math.SmallestNonzeroFloat32},
		{"Log", Log, 1, 0}, {"Log", Log, 0, -inf}, {"Log", Log, negZero, -inf}, {"Log", Log, inf, inf},
		{"Log", Log, -1, nan}, {"Log", Log, -inf, nan}, {"Log", Log, nan, nan},
		{"Sin", Sin, 0, 0}, {"Sin", Sin, negZero, negZero}, {"Sin", Sin, inf, nan}, {"Sin", Sin, -inf, nan}, {"Sin", Sin, nan, nan},
		{"Cos", Cos, 0, 1}, {"Cos", Cos, negZero, 1}, {"Cos", Cos, inf, nan}, {"Cos", Cos, nan, nan},
	} {
		wantBits(t, fmt.Sprintf("%s(%g)", c.name, c.x), c.fn(float32(c.x)), float32(c.want))
	}
	// The float32 that comes closest to a multiple of π/2.
	const closest = 16367173 * 0x1p72
	wantBits(t, "Cos near π/2", Cos(closest), float32(math.Cos(closest)))
	wantBits(t, "Sin near π/2", Sin(closest), float32(math.Sin(closest)))
	if v := Exp(88.7228); v > math.MaxFloat32 {
		t.Errorf("Exp(88.7228) = %g overflows too early", v)
	}
}

func TestPow(t *testing.T) {
	rng := newRand(20)
	worst := 0.0
	for range 200000 {
		x := math.Float32frombits(rng.Uint32N(infBits))
		y := floats(rng, 1)[0]
		if rng.IntN(2) == 0 { // results of moderate size
			y = float32(float64(y) / (1 + math.Abs(math.Log(float64(x)))))
		}
		u := ulps(Pow(x, y), math.Pow(float64(x), float64(y)))
		worst = max(worst, u)
		if u > 0.5001 {
			t.Fatalf("Pow(%g, %g) = %g is wrong by %g ulp", x, y, Pow(x, y), u)
		}
	}
	t.Logf("worst error %.5f ulp", worst)
	special := []float64{0, math.Copysign(0, -1), 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1e-45, math.MaxFloat32, -math.MaxFloat32,
		16777215, -16777215, 16777216, math.Inf(1), math.Inf(-1), math.NaN()}
	for _, x := range special {
		for _, y := range special {
			got := Pow(float32(x), float32(y))
			want := math.Pow(float64(float32(x)), float64(float32(y)))
			wantBits(t, fmt.Sprintf("Pow(%g, %g)", x, y), got, float32(want))
		}
	}
}
