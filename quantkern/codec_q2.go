package quantkern

import "encoding/binary"

// Q2_0 (llama.cpp, 64 values; PrismML, 128): an f16 scale, then four
// neighbours in a byte, the first in its lowest bits.

// quadTrits are the four trits of a byte, as four bytes in their order.
var quadTrits = func() (t [256]uint32) {
	for b := range t {
		for j := range 4 {
			t[b] |= uint32(uint8(b>>(2*j)&3-1)) << (8 * j)
		}
	}
	return t
}()

func unpackQuads(dst []int8, src []byte) {
	out := asBytes(dst)[:4*len(src)]
	for i, b := range src {
		binary.LittleEndian.PutUint32(out[4*i:], quadTrits[b])
	}
}

func packQuads(dst []byte, codes []uint8) {
	for i := range dst {
		q := codes[4*i:][:4]
		dst[i] = q[0] | q[1]<<2 | q[2]<<4 | q[3]<<6
	}
}

func encodeQ2(dst []byte, src []float32) *ValueError {
	return encodeTrits(dst, src, func(codes []uint8) { packQuads(dst[2:][:len(codes)/4], codes) })
}
