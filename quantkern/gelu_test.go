package quantkern

import (
	"math"
	"testing"
)

func TestGELUMul(t *testing.T) {
	for x := -12.0; x <= 12; x += 0.01 {
		want := x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) * -1.5
		dst := []float32{float32(x)}
		GELUMul(dst, dst, []float32{-1.5})
		if diff := math.Abs(float64(dst[0]) - want); diff > 2e-6*(1+math.Abs(want)) {
			t.Fatalf("gelu(%v) × −1.5 = %v, want %v", x, dst[0], want)
		}
	}
	inf := float32(math.Inf(1))
	dst := []float32{float32(math.NaN()), inf, 3e38, -3e38}
	GELUMul(dst, dst, []float32{1, 1, 1, 1})
	if dst[0] == dst[0] || dst[1] != inf || dst[2] != 3e38 || dst[3] != 0 {
		t.Errorf("%v", dst)
	}
}
