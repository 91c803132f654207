package quantkern

import (
	"fmt"
	"math"
)

const (
	// roundMagic is 1.5·2^23: adding it to a float32 of magnitude below 2^22
	// rounds that to an integer, half to even, which then stands in the low bits
	// of the sum.
	roundMagic     = 0x1.8p23
	roundMagicBits = 0x4b400000
)

// QuantizeRow quantizes one row of activations symmetrically to int8, as
// bitnet.cpp does: s = float32(127/max(1e-5, max|x|)), the division in
// float64; q = x·s, rounded to float32, then to an integer, half to even. The
// result lies within ±127. q and x have the same length; the dequantized value
// is q/s.
//
// A row that is not finite gives q = 0 and an s that turns every product into
// NaN: s = NaN when x has a NaN, s = 0 when it has an infinity.
func QuantizeRow(q []int8, x []float32) (s float32) {
	if len(q) != len(x) {
		panic(fmt.Sprintf("quantkern: QuantizeRow of %d values into %d", len(x), len(q)))
	}
	// The bits of magnitudes order like the values, with NaN above infinity.
	var top uint32
	for _, v := range x {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	s, ok := scaleFor(top)
	if !ok {
		clear(q)
		return s
	}
	for i, v := range x {
		q[i] = int8(int32(math.Float32bits(float32(v*s)+roundMagic)) - roundMagicBits)
	}
	return s
}
