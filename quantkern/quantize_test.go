package quantkern

import (
	"math"
	"testing"
)

func TestQuantizeRowAgainstDefinition(t *testing.T) {
	rng := newRand(4)
	rows := [][]float32{{}, {0}, {0, 0, 0}, {1e-6, -3e-6}, {1e-5}, {1e-45}, {3.4e38, -1}, {-5}, {1, 0.5, -0.5, 1.5 / 127, 2.5 / 127}}
	for n := range 200 {
		x := floats(rng, n)
		for i := range x { // halves are frequent, so that ties are
			if i%3 == 0 {
				x[i] = float32(int(rng.Int32N(255))-127) / 2
			}
		}
		if n > 0 {
			x[n/2] = 127
		}
		rows = append(rows, x, floats(rng, n))
	}
	for _, x := range rows {
		largest := 1e-5
		for _, v := range x {
			largest = max(largest, math.Abs(float64(v)))
		}
		want := float32(127 / largest)
		q := make([]int8, len(x))
		s := QuantizeRow(q, x)
		wantBits(t, "scale", s, want)
		for i, v := range x {
			p := float32(v * want)
			r := min(max(math.RoundToEven(float64(p)), -128), 127)
			if float64(q[i]) != r {
				t.Fatalf("%g × %g: %d, want %g", v, want, q[i], r)
			}
		}
	}
}

func TestQuantizeRowNonFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		x []float32
		s float32
	}{
		{[]float32{1, inf, 2}, 0},
		{[]float32{-inf}, 0},
		{[]float32{1, nan, 2}, nan},
		{[]float32{inf, nan}, nan},
		{[]float32{-nan, 5}, nan},
	} {
		q := []int8{9, 9, 9}[:len(c.x)]
		wantBits(t, "scale", QuantizeRow(q, c.x), c.s)
		for i, v := range q {
			if v != 0 {
				t.Errorf("%v: q[%d] = %d, want 0", c.x, i, v)
			}
		}
	}
	wantPanic(t, "lengths", func() { QuantizeRow(make([]int8, 2), make([]float32, 3)) })
}

func TestFirstNonFinite(t *testing.T) {
	x := make([]float32, 40)
	for i := range x {
		x[i] = math.MaxFloat32
	}
	if got := FirstNonFinite(x); got != -1 {
		t.Fatalf("finite row: %d", got)
	}
	if got := FirstNonFinite(nil); got != -1 {
		t.Fatalf("empty row: %d", got)
	}
	for i := range x {
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			y := append([]float32(nil), x...)
			y[i] = float32(v)
			if i < len(y)-1 {
				y[len(y)-1] = float32(v)
			}
			if got := FirstNonFinite(y); got != i {
				t.Fatalf("%g at %d found at %d", v, i, got)
			}
		}
	}
}
