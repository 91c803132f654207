package quantkern

import "fmt"

// Dot is Σ a[i]·b[i] in float32 lanes (see Lanes), each product rounded to
// float32 before it is added. a and b have the same length.
func Dot(a, b []float32) float32 {
	if len(a) != len(b) {
		panic(fmt.Sprintf("quantkern: Dot of %d and %d values", len(a), len(b)))
	}
	var acc [Lanes]float32
	n := len(a) &^ (Lanes - 1)
	if n > 0 {
		// Sixteen accumulators do not fit the registers: two passes over eight
		// lanes give the same bits as one over all of them.
		half := Lanes / 2
		dotHalf((*[Lanes / 2]float32)(acc[:half]), a[:n], b[:n])
		dotHalf((*[Lanes / 2]float32)(acc[half:]), a[half:n], b[half:n])
	}
	for l := range len(a) - n {
		acc[l] += float32(a[n+l] * b[n+l])
	}
	return combine(&acc)
}

// dotHalf accumulates the products of every other eight elements.
func dotHalf(acc *[Lanes / 2]float32, a, b []float32) {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	for len(a) >= Lanes/2 && len(b) >= Lanes/2 {
		x, y := (*[Lanes / 2]float32)(a), (*[Lanes / 2]float32)(b)
		s0 += float32(x[0] * y[0])
		s1 += float32(x[1] * y[1])
		s2 += float32(x[2] * y[2])
		s3 += float32(x[3] * y[3])
		s4 += float32(x[4] * y[4])
		s5 += float32(x[5] * y[5])
		s6 += float32(x[6] * y[6])
		s7 += float32(x[7] * y[7])
		if len(a) < Lanes || len(b) < Lanes {
			break
		}
		a, b = a[Lanes:], b[Lanes:]
	}
	*acc = [Lanes / 2]float32{s0, s1, s2, s3, s4, s5, s6, s7}
}
