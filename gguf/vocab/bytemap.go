package vocab

import "unicode/utf8"

// byteLevel is the bijection of GPT-2 between bytes and printable code points:
// 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for themselves, the other 68 bytes
// in ascending order for U+0100, U+0101, …
var byteLevel = newByteMap()

type byteMap struct {
	toRune [256]rune
	toByte [0x100 + 68]int16 // -1: not in the map
}

func newByteMap() *byteMap {
	m := new(byteMap)
	for i := range m.toByte {
		m.toByte[i] = -1
	}
	next := rune(0x100)
	for b := range m.toRune {
		r := rune(b)
		if b < 0x21 || b > 0x7e && b < 0xa1 || b == 0xad {
			r = next
			next++
		}
		m.toRune[b] = r
		m.toByte[r] = int16(b)
	}
	return m
}

// appendMapped appends the code points that stand for the bytes of s.
func (m *byteMap) appendMapped(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = utf8.AppendRune(dst, m.toRune[s[i]])
	}
	return dst
}

// unmap gives the byte that r stands for.
func (m *byteMap) unmap(r rune) (byte, bool) {
	if r < 0 || int(r) >= len(m.toByte) || m.toByte[r] < 0 {
		return 0, false
	}
	return byte(m.toByte[r]), true
}
