package quantkern

import "math"

// F16ToF32 widens an IEEE 754 half: exact for every finite value. A NaN keeps
// its payload and becomes quiet, as the conversion instructions do it.
//
// It is a look-up in 256 KiB: on rows with the spread of real weights that
// takes about two thirds of the time of the arithmetic.
func F16ToF32(h uint16) float32 { return f16Table[h] }

var f16Table = func() (t [1 << 16]float32) {
	for h := range t {
		t[h] = widenF16(uint16(h))
	}
	return t
}()

// widenF16 computes an entry. The half's exponent and fraction, moved to a
// float32's place, are the wanted value times 2^-112, subnormal or not, so one
// exact multiplication does it.
func widenF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	abs := uint32(h & 0x7fff)
	if abs >= 0x7c00 {
		bits := sign | 0x7f800000 | abs<<13
		if abs > 0x7c00 {
			bits |= 0x00400000
		}
		return math.Float32frombits(bits)
	}
	v := math.Float32frombits(abs<<13) * 0x1p112
	return math.Float32frombits(math.Float32bits(v) | sign)
}

// F32ToF16 rounds to the nearest half, ties to even; what is too large becomes
// an infinity, what is too small a subnormal or a zero of the same sign, and a
// NaN stays a quiet NaN with the upper bits of its payload.
func F32ToF16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits>>16) & 0x8000
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000:
		return sign | 0x7e00 | uint16(abs>>13)&0x03ff
	case abs >= 0x47800000: // 2^16 and above
		return sign | 0x7c00
	case abs < 0x38800000: // below 2^-14: the addition rounds to units of 2^-24
		v := math.Float32frombits(abs) + 0.5
		return sign | uint16(math.Float32bits(v)-0x3f000000)
	}
	// Rebias by 15-127 and round the 13 lost bits; a carry runs into the
	// exponent, and from the largest one into infinity.
	abs += 0xc8000000 + 0x0fff + abs>>13&1
	return sign | uint16(abs>>13)
}

// bf16ToF32 widens the upper half of a float32.
func bf16ToF32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// f32ToBF16 rounds to nearest, ties to even; a NaN stays a quiet NaN.
func f32ToBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x0040
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
