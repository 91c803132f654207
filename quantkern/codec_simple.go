package quantkern

import (
	"encoding/binary"
	"math"
)

// simpleCodecs are the types of 32 values with one scale.
var simpleCodecs = []*Codec{
	{Name: "Q4_0", BlockValues: 32, BlockBytes: 18, decode: decodeNibbles(8, false, false), encode: encodeQ4x0},
	{Name: "Q4_1", BlockValues: 32, BlockBytes: 20, decode: decodeNibbles(0, true, false), encode: encodeQ4x1},
	{Name: "Q5_0", BlockValues: 32, BlockBytes: 22, decode: decodeNibbles(16, false, true)},
	{Name: "Q5_1", BlockValues: 32, BlockBytes: 24, decode: decodeNibbles(0, true, true)},
	{Name: "Q8_0", BlockValues: 32, BlockBytes: 34, decode: decodeQ8x0, encode: encodeQ8x0},
}

// decodeNibbles reads f16 scale, f16 minimum (if any), 32 fifth bits (if any)
// and 16 bytes, low nibbles first: scale×(q − zero) + minimum.
func decodeNibbles(zero int, hasMin, fifth bool) func([]float32, []byte) {
	return func(dst []float32, b []byte) {
		d := f16At(b)
		b = b[2:]
		m := float32(math.Copysign(0, -1)) // x + (−0) is x for every x, −0 included
		if hasMin {
			m = f16At(b)
			b = b[2:]
		}
		var high uint32
		if fifth {
			high = binary.LittleEndian.Uint32(b)
			b = b[4:]
		}
		for i := range 32 {
			q := int(b[i%16]>>(i/16*4)&15) | int(high>>i&1)<<4
			dst[i] = float32(d*float32(q-zero)) + m
		}
	}
}

func decodeQ8x0(dst []float32, b []byte) {
	d := f16At(b)
	for i := range dst {
		dst[i] = d * float32(int8(b[2+i]))
	}
}

func encodeQ8x0(dst []byte, src []float32) *ValueError {
	var top uint32 // bits of magnitudes order as these do
	for _, v := range src {
		top = max(top, math.Float32bits(v)&^(1<<31))
	}
	if top >= infBits {
		_, _, bad := extreme(src)
		return bad
	}
	d := math.Float32frombits(top) / 127
	id := inverse(d)
	codes := dst[2:][:len(src)]
	for i, v := range src {
		codes[i] = byte(roundAway(v * id))
	}
	return putScale(dst, d)
}

// encodeQ4x0 gives the value of largest magnitude the code 0, which means −8.
func encodeQ4x0(dst []byte, src []float32) *ValueError {
	peak, _, bad := extreme(src)
	if bad != nil {
		return bad
	}
	d := peak / -8
	id := inverse(d)
	packNibbles(dst[2:], src, func(v float32) float32 { return float32(v*id) + 8.5 })
	return putScale(dst, d)
}

// encodeQ4x1 spreads the codes from the smallest to the largest value.
func encodeQ4x1(dst []byte, src []float32) *ValueError {
	if _, _, bad := extreme(src); bad != nil {
		return bad
	}
	low, high := src[0], src[0]
	for _, v := range src {
		low, high = min(low, v), max(high, v)
	}
	d := (high - low) / 15
	id := inverse(d)
	packNibbles(dst[4:], src, func(v float32) float32 { return float32((v-low)*id) + 0.5 })
	if bad := putScale(dst, d); bad != nil {
		return bad
	}
	return putScale(dst[2:], low)
}

// packNibbles cuts code(v), which is never negative, to an integer up to 15.
func packNibbles(dst []byte, src []float32, code func(float32) float32) {
	for i := range 16 {
		dst[i] = nibble(code(src[i])) | nibble(code(src[i+16]))<<4
	}
}

func nibble(v float32) byte { return byte(min(v, 15)) }

// extreme finds the value of largest magnitude (the first among equals) and
// its magnitude; anything that is not finite is an error.
func extreme(src []float32) (peak, magnitude float32, bad *ValueError) {
	for i, v := range src {
		if !isFinite(v) {
			return 0, 0, &ValueError{Col: i, Value: v, Reason: "not finite; repair the tensor or keep it in F32"}
		}
		if a := abs32(v); a > magnitude {
			peak, magnitude = v, a
		}
	}
	return peak, magnitude, nil
}

// inverse is 1/d, or 0 where that is no number: such a block becomes zero.
func inverse(d float32) float32 {
	if id := 1 / d; isFinite(id) {
		return id
	}
	return 0
}

// putScale stores a block's scale as a half.
func putScale(dst []byte, d float32) *ValueError {
	h := F32ToF16(d)
	if !isFinite(F16ToF32(h)) {
		return &ValueError{Value: d, Reason: "the scale of the block beginning here exceeds the f16 range; keep the tensor in F32"}
	}
	binary.LittleEndian.PutUint16(dst, h)
	return nil
}

// roundAway rounds to an integer, half away from zero; |v| is below 2^31, so
// that the addition is exact or far from a border.
func roundAway(v float32) int { return int(float64(v) + math.Copysign(0.5, float64(v))) }

// roundEven rounds to an integer, half to even.
func roundEven(v float32) int { return int(math.RoundToEven(float64(v))) }
