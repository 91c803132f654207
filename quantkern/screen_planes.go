package quantkern

import "encoding/binary"

// Codes c = q+128 of a group, four rows, lie in two planes. That of their six
// upper bits has three bytes for each four codes:
//
//	            bits 7…2           bits 1, 0
//	byte j      row 0, value j     bits 7, 6 of row 3, value j
//	byte 64+j   row 1              bits 5, 4
//	byte 128+j  row 2              bits 3, 2
//
// for j = 0…63 of a chunk, so that the codes of three rows need a mask and only the
// fourth has to be put together. Byte j of the other plane has the two lower bits of
// row r in bits 2r and 2r+1. Each plane has its chunks one after the other, and then
// the next group's: what is read is one stream of memory, or two.

const (
	sixMask = 0xfcfcfcfcfcfcfcfc
	lowMask = 0x0303030303030303
)

// putPlanes stores the codes of group g, which lie chunk by chunk, row by row.
func (s *Screen) putPlanes(g int, codes []int8) {
	six, low := s.planes(g)
	for c := range s.chunks {
		six, low := six[c*sixBytes:][:sixBytes], low[c*lowBytes:][:lowBytes]
		for j := 0; j < screenChunk; j += 8 {
			var q [screenRows]uint64
			for r := range q {
				for i, v := range codes[(c*screenRows+r)*screenChunk+j:][:8] {
					q[r] |= uint64(uint8(v)^codeMiddle) << (8 * i)
				}
			}
			for r := range screenRows - 1 {
				binary.LittleEndian.PutUint64(six[r*screenChunk+j:], q[r]&sixMask|q[3]>>(6-2*r)&lowMask)
			}
			binary.LittleEndian.PutUint64(low[j:], q[0]&lowMask|q[1]&lowMask<<2|q[2]&lowMask<<4|q[3]&lowMask<<6)
		}
	}
}

// planes are those of group g.
func (s *Screen) planes(g int) (six, low []byte) {
	return s.six[g*s.chunks*sixBytes : (g+1)*s.chunks*sixBytes], s.low[g*s.chunks*lowBytes : (g+1)*s.chunks*lowBytes]
}

// factors are what chunk c of a group's codes multiplies activations with (v in Screen), a row
// after the other.
func factors(dst *[screenRows][screenChunk]int32, six, low []byte, c, bits int) {
	six, low = six[c*sixBytes:][:sixBytes], low[c*lowBytes:][:lowBytes]
	for j := range screenChunk {
		codes := [screenRows]byte{six[j], six[screenChunk+j], six[2*screenChunk+j], 0}
		codes[3] = codes[0]<<6 | codes[1]&3<<4 | codes[2]&3<<2
		for r, c := range codes {
			if bits == LeastBits {
				dst[r][j] = 2*(int32(c&^3)-codeMiddle) + 3
			} else {
				dst[r][j] = int32(c&^3|low[j]>>(2*r)&3) - codeMiddle
			}
		}
	}
}
