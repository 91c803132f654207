package quantkern

import "math"

// infBits is the bit pattern of +Inf; magnitudes at or above it are not finite.
const infBits = 0x7f800000

// FirstNonFinite returns the index of the first NaN or infinity, or -1.
func FirstNonFinite(x []float32) int {
	if active.absMaxBits != nil && whole(len(x)) && active.absMaxBits(&x[0], uintptr(len(x)/Lanes)) < infBits {
		return -1
	}
	for i, v := range x {
		if math.Float32bits(v)&infBits == infBits {
			return i
		}
	}
	return -1
}
