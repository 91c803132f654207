package quantkern

import (
	"fmt"
	"math"
)

// RMSNorm computes dst = x / sqrt(mean(x²)+eps) × w (Zhang and Sennrich,
// arXiv:1910.07467) with the roundings of bitnet.cpp: the squares are rounded
// to float32 and summed in float64 lanes, mean = float32(sum/n),
// scale = 1/sqrt(mean+eps) in float32, and x×scale is rounded before it is
// multiplied with w. All slices have the same length; dst may be x.
func RMSNorm(dst, x, w []float32, eps float32) {
	if len(dst) != len(x) || len(w) != len(x) {
		panic(fmt.Sprintf("quantkern: RMSNorm of %d values with %d weights into %d", len(x), len(w), len(dst)))
	}
	mean := float32(sumSquares(x) / float64(len(x)))
	scale := 1 / float32(math.Sqrt(float64(mean+eps)))
	if active.scaleMul != nil && whole(len(x)) {
		active.scaleMul(&dst[0], &x[0], &w[0], uintptr(len(x)/Lanes), scale)
		return
	}
	for i, v := range x {
		dst[i] = float32(v*scale) * w[i]
	}
}
