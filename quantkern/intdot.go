package quantkern

import "encoding/binary"

// Exact integer dots with eight values in two machine words.
//
// Four integers a0..a3 as Σ a_i·2^(16i) times four trits b0..b3 in reverse
// order, Σ b_i·2^(16(3−i)), have a0·b0+a1·b1+a2·b2+a3·b3 at 2^48: one 64-bit
// multiplication modulo 2^64 makes four products and their sum. All fields are
// signed; what the lower ones borrow from the highest is given back by
// rounding when it is shifted down.
//
//	eight values   v0 v1 v2 v3 v4 v5 v6 v7
//	even word      v0, v2, v4, v6           odd word      v1, v3, v5, v7
//
// A product of int8 and a trit (−1..2) is at most 256, so sixteen
// multiplications, 16·4·256 = 2^14, stay far from the end of a field.
const (
	wordValues  = 4 // values a word holds
	groupValues = 2 * wordValues
	groupWords  = 2
	dotBlock    = 16 // multiplications between two shifts
)

// groupsOf is the number of groups that hold n values.
func groupsOf(n int) int { return (n + groupValues - 1) / groupValues }

// packActivations writes q as words, padded with zeros to whole groups.
func packActivations(dst []uint64, q []int8) {
	for g := 0; len(q) > 0; g++ {
		var v [groupValues]int8
		q = q[copy(v[:], q):]
		dst[groupWords*g] = reversed(v[0], v[2], v[4], v[6])
		dst[groupWords*g+1] = reversed(v[1], v[3], v[5], v[7])
	}
}

func reversed(a, b, c, d int8) uint64 {
	return uint64(a)<<48 + uint64(b)<<32 + uint64(c)<<16 + uint64(d)
}

// packTrits writes trits (as bytes, a whole number of groups) as words.
func packTrits(dst []uint64, trits []byte) {
	const unroll = 4
	for len(trits) >= unroll*groupValues && len(dst) >= unroll*groupWords {
		t, d := (*[unroll * groupValues]byte)(trits), (*[unroll * groupWords]uint64)(dst)
		d[0], d[1] = fields(binary.LittleEndian.Uint64(t[0:]))
		d[2], d[3] = fields(binary.LittleEndian.Uint64(t[8:]))
		d[4], d[5] = fields(binary.LittleEndian.Uint64(t[16:]))
		d[6], d[7] = fields(binary.LittleEndian.Uint64(t[24:]))
		trits, dst = trits[unroll*groupValues:], dst[unroll*groupWords:]
	}
	for len(trits) >= groupValues && len(dst) >= groupWords {
		dst[0], dst[1] = fields(binary.LittleEndian.Uint64(trits))
		trits, dst = trits[groupValues:], dst[groupWords:]
	}
}

// fields spreads eight int8 over the signed fields of an even and an odd word:
// with the sign bit flipped a byte is its value plus 128.
func fields(v uint64) (even, odd uint64) {
	v ^= 0x8080808080808080
	return v&evens - 0x0080008000800080, v>>8&evens - 0x0080008000800080
}

// dotWords is the exact dot of two packed rows of equal length.
func dotWords(w, a []uint64) int32 {
	var sum int64
	for len(w) >= dotBlock && len(a) >= dotBlock {
		x, y := (*[dotBlock]uint64)(w), (*[dotBlock]uint64)(a)
		sum += topField(x[0]*y[0] + x[1]*y[1] + x[2]*y[2] + x[3]*y[3] +
			x[4]*y[4] + x[5]*y[5] + x[6]*y[6] + x[7]*y[7] +
			x[8]*y[8] + x[9]*y[9] + x[10]*y[10] + x[11]*y[11] +
			x[12]*y[12] + x[13]*y[13] + x[14]*y[14] + x[15]*y[15])
		w, a = w[dotBlock:], a[dotBlock:]
	}
	var rest uint64
	for i := range min(len(w), len(a)) {
		rest += w[i] * a[i]
	}
	return int32(sum + topField(rest))
}

func topField(v uint64) int64 { return int64(v+1<<47) >> 48 }
