package quantkern

// Lanes is the number of accumulators of every reduction over a row: element i
// is added to lane i%Lanes in ascending order, tail elements only to their own
// lanes, and the lanes are combined as l+8, l+4, l+2, l+1. Every tier follows
// it, so results do not depend on the tier.
const Lanes = 16

// combine adds the lanes up in their fixed tree. It destroys acc.
func combine[T float32 | float64](acc *[Lanes]T) T {
	for w := Lanes / 2; w > 0; w /= 2 {
		for l := range w {
			acc[l] += acc[l+w]
		}
	}
	return acc[0]
}

// sum64 adds the elements up in float64 lanes.
func sum64(x []float32) float64 {
	var acc [Lanes]float64
	for len(x) >= Lanes {
		b := (*[Lanes]float32)(x)
		for l := range acc {
			acc[l] += float64(b[l])
		}
		x = x[Lanes:]
	}
	for l, v := range x {
		acc[l] += float64(v)
	}
	return combine(&acc)
}

// sumSquares adds the squares, each rounded to float32, up in float64 lanes.
func sumSquares(x []float32) float64 {
	if active.sumSquares != nil && whole(len(x)) {
		return active.sumSquares(&x[0], uintptr(len(x)/Lanes))
	}
	var acc [Lanes]float64
	for len(x) >= Lanes {
		b := (*[Lanes]float32)(x)
		for l := range acc {
			acc[l] += float64(float32(b[l] * b[l]))
		}
		x = x[Lanes:]
	}
	for l, v := range x {
		acc[l] += float64(float32(v * v))
	}
	return combine(&acc)
}
