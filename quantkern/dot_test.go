package quantkern

import (
	"fmt"
	"math"
	"testing"
)

// The lane rule written down as it is stated, once for each element type.
func laneRule32(terms []float32) float32 {
	var l [16]float32
	for i, v := range terms {
		l[i%16] += v
	}
	for i := range 8 {
		l[i] += l[i+8]
	}
	for i := range 4 {
		l[i] += l[i+4]
	}
	return (l[0] + l[2]) + (l[1] + l[3])
}

func laneRule64(terms []float64) float64 {
	var l [16]float64
	for i, v := range terms {
		l[i%16] += v
	}
	for i := range 8 {
		l[i] += l[i+8]
	}
	for i := range 4 {
		l[i] += l[i+4]
	}
	return (l[0] + l[2]) + (l[1] + l[3])
}

func TestLaneRule(t *testing.T) {
	rng := newRand(1)
	for n := range 201 {
		a, b := floats(rng, n), floats(rng, n)
		products := make([]float32, n)
		squares, plain := make([]float64, n), make([]float64, n)
		for i := range n {
			products[i] = float32(a[i] * b[i])
			squares[i], plain[i] = float64(float32(a[i]*a[i])), float64(a[i])
		}
		wantBits(t, fmt.Sprintf("Dot of %d", n), Dot(a, b), laneRule32(products))
		if got, want := sumSquares(a), laneRule64(squares); got != want {
			t.Fatalf("sumSquares of %d: %g, want %g", n, got, want)
		}
		if got, want := sum64(a), laneRule64(plain); got != want {
			t.Fatalf("sum64 of %d: %g, want %g", n, got, want)
		}
	}
}

func TestDotSpecialValues(t *testing.T) {
	inf := float32(math.Inf(1))
	wantBits(t, "empty", Dot(nil, nil), 0)
	wantBits(t, "negative zeros", Dot([]float32{-1}, []float32{0}), 0)
	wantBits(t, "infinity", Dot([]float32{1, inf}, []float32{2, 3}), inf)
	wantBits(t, "Inf × 0", Dot([]float32{inf, 1}, []float32{0, 1}), float32(math.NaN()))
	wantBits(t, "overflow in one lane", Dot([]float32{3e38, -3e38}, []float32{2, 2}), float32(math.NaN()))
	wantPanic(t, "lengths", func() { Dot(make([]float32, 3), make([]float32, 4)) })
}
