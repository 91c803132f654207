package quantkern

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Unpacking of trits, eight at a time in a 64-bit word.

const (
	lanes01 = 0x0101010101010101
	lanes03 = 0x0303030303030303
	lanes80 = 0x8080808080808080
	evens   = 0x00ff00ff00ff00ff
)

// lessOne subtracts 1 from eight codes of 0..3 without borrowing between them.
func lessOne(codes uint64) uint64 { return ((codes | lanes80) - lanes01) ^ lanes80 }

// asBytes views trits as the bytes they are.
func asBytes(t []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(t))), len(t))
}

// planes is a 2-bit packing in groups of width bytes (a multiple of 8): value
// j of a group's 4×width has byte j%width and shift first + step×(j/width).
type planes struct{ width, first, step int }

// unpack writes the 4×len(src) trits of whole groups.
func (p planes) unpack(dst []int8, src []byte) {
	w := p.width
	out := asBytes(dst)
	s0, s1, s2, s3 := uint(p.first)&7, uint(p.first+p.step)&7, uint(p.first+2*p.step)&7, uint(p.first+3*p.step)&7
	for len(src) >= w && len(out) >= 4*w {
		q0, q1, q2, q3 := out[:w], out[w:2*w], out[2*w:3*w], out[3*w:4*w]
		for i := 0; i+8 <= w; i += 8 {
			v := binary.LittleEndian.Uint64(src[i:])
			binary.LittleEndian.PutUint64(q0[i:], lessOne(v>>s0&lanes03))
			binary.LittleEndian.PutUint64(q1[i:], lessOne(v>>s1&lanes03))
			binary.LittleEndian.PutUint64(q2[i:], lessOne(v>>s2&lanes03))
			binary.LittleEndian.PutUint64(q3[i:], lessOne(v>>s3&lanes03))
		}
		src, out = src[w:], out[4*w:]
	}
}

// pack writes the codes (trit + 1) of whole groups into len(codes)/4 bytes.
func (p planes) pack(dst []byte, codes []uint8) {
	w := p.width
	for len(codes) > 0 {
		for i := range w {
			v := uint8(0)
			for plane := range 4 {
				v |= codes[plane*w+i] << (p.first + p.step*plane)
			}
			dst[i] = v
		}
		dst, codes = dst[w:], codes[4*w:]
	}
}

// unpackPlane takes one trit from every byte, at the same shift (0..6).
func unpackPlane(dst []int8, src []byte, shift int) {
	out := asBytes(dst)
	s := uint(shift) & 7
	for len(out) >= 8 && len(src) >= 8 {
		binary.LittleEndian.PutUint64(out, lessOne(binary.LittleEndian.Uint64(src)>>s&lanes03))
		out, src = out[8:], src[8:]
	}
	for i := range out {
		out[i] = src[i]>>s&3 - 1
	}
}

// packPlane puts one code into every byte and leaves the other bits.
func packPlane(dst []byte, codes []uint8, shift int) {
	for i, code := range codes {
		dst[i] = dst[i]&^(3<<shift) | code<<shift
	}
}

// code3 counts the 2-bit codes 3, which no ternary packing defines.
func code3(packed []byte) int {
	n := 0
	for len(packed) >= 8 {
		v := binary.LittleEndian.Uint64(packed)
		n += bits.OnesCount64(v & (v >> 1) & (lanes01 * 0x55))
		packed = packed[8:]
	}
	for _, b := range packed {
		n += bits.OnesCount8(b & (b >> 1) & 0x55)
	}
	return n
}

// nextDigit takes the most significant base-3 digit of eight base-3 fractions
// (in units of 1/256; even bytes of the word in e, odd ones in o, each in 16
// bits) and returns the digits and the fractions that are left.
func nextDigit(e, o uint64) (digits, e1, o1 uint64) {
	e, o = e*3, o*3
	return e>>8&evens | o&^evens, e & evens, o & evens
}

// unpackBase3 takes digits trits from every byte of src (a multiple of 4 long):
// dst[n×len(src)+j] is digit n of byte j, the most significant one first.
func unpackBase3(dst []int8, src []byte, digits int) {
	w := len(src)
	out := asBytes(dst)[:digits*w]
	for i := 0; i < w; i += 8 {
		var v, d uint64
		whole := i+8 <= w
		if whole {
			v = binary.LittleEndian.Uint64(src[i:])
		} else {
			v = uint64(binary.LittleEndian.Uint32(src[i:]))
		}
		e, o := v&evens, v>>8&evens
		for at := i; at < len(out); at += w {
			d, e, o = nextDigit(e, o)
			if d = lessOne(d); whole {
				binary.LittleEndian.PutUint64(out[at:], d)
			} else {
				binary.LittleEndian.PutUint32(out[at:], uint32(d))
			}
		}
	}
}

// packBase3 is the inverse: byte j becomes the base-3 fraction of its digits,
// rounded up, where digits beyond the given ones are 0.
func packBase3(dst []byte, codes []uint8, digits int) {
	w := len(dst)
	for j := range dst {
		q := 0
		for n := range 5 {
			q *= 3
			if n < digits {
				q += int(codes[n*w+j])
			}
		}
		dst[j] = fraction3(q)
	}
}

// fraction3 is the byte for the 5-digit base-3 number q: ceil(q × 256/243).
func fraction3(q int) byte { return byte((q*256 + 242) / 243) }

// defined3 has, for every byte, bit 0 set when it stands for five trits and
// bit 1 when it stands for four. 243 of 256 bytes do for five: the 13 others
// lie between them, the largest of the 243 being 255.
var defined3 = func() (t [256]uint8) {
	for q := range 243 {
		t[fraction3(q)] |= 1
		if q%3 == 0 {
			t[fraction3(q)] |= 2
		}
	}
	return t
}()
