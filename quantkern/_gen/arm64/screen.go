package main

import "fmt"

const (
	chunkSix = 192 // bytes of a chunk of a group of a Screen: six bits of each code
	chunkLow = 64  // the two below
)

// screen emits the upper bounds of a group of 4 rows with one row of activations of 16
// bits, of which 32 of even places come before 32 of odd ones: bytes of codes (see quantkern's
// putPlanes) are parted into words of even and of odd places.
func (f *file) screen(bits int) {
	doc := fmt.Sprintf("bounds the products of 4 rows of %d-bit codes with a row of activations.", bits)
	params := []string{"dst *float32", "ldd uintptr", "six *byte", "low *byte", "y *int16", "ldy uintptr", "chunks uintptr",
		"bases *int32", "coefs *float32", "widths *float32"}
	f.kernel(fmt.Sprintf("Screen%dx1", bits), doc, "", params, func(k *kernel) {
		const ahead = 40 // chunks
		six, low, y := k.arg("six"), k.arg("low"), k.arg("y")
		topSix, lowTwo, bytes := k.constant(0xfcfcfcfc), k.constant(0x03030303), k.constant(0x00ff00ff)
		acc := k.vec(8) // of even and of odd places
		k.zero(acc...)
		k.loop(k.arg("chunks"), func() {
			for line := range chunkSix / 64 {
				k.op("PRFM %d(%v), PLDL1STRM", ahead*chunkSix+64*line, six)
			}
			if bits == 8 {
				k.op("PRFM %d(%v), PLDL1STRM", ahead*chunkLow, low)
			}
			for off := 0; off < chunkLow; off += 16 {
				k.scope(func() {
					even, odd, lower, last, x, t := k.vec1(), k.vec1(), k.vec1(), k.vec1(), k.vec1(), k.vec1()
					k.load(even, y, off)
					k.load(odd, y, 64+off)
					if bits == 8 {
						k.load(lower, low, off)
					}
					add := func(r int, u vreg) {
						if bits == 8 {
							k.op("VAND %v.B16, %v.B16, %v.B16", lowTwo, lower, t)
							k.op("VORR %v.B16, %v.B16, %v.B16", t, u, u)
							k.op("VUSHR $2, %v.B16, %v.B16", lower, lower)
						}
						k.op("VAND %v.B16, %v.B16, %v.B16", bytes, u, t)
						k.op("VUSHR $8, %v.H8, %v.H8", u, u)
						k.word(smlal16(acc[r], t, even), smlal16h(acc[r], t, even), smlal16(acc[4+r], u, odd), smlal16h(acc[4+r], u, odd))
					}
					for r := range 3 {
						k.load(x, six, 64*r+off)
						if r == 0 {
							k.op("VAND %v.B16, %v.B16, %v.B16", lowTwo, x, last)
						} else {
							k.op("VAND %v.B16, %v.B16, %v.B16", lowTwo, x, t)
							k.op("VORR %v.B16, %v.B16, %v.B16", t, last, last)
						}
						k.op("VSHL $2, %v.B16, %v.B16", last, last)
						k.op("VAND %v.B16, %v.B16, %v.B16", topSix, x, x)
						add(r, x)
					}
					add(3, last)
				})
			}
			k.advance(chunkSix, six)
			k.advance(chunkLow, low)
			k.advance(128, y)
		})
		for r := range 4 {
			k.op("VADD %v.S4, %v.S4, %v.S4", acc[4+r], acc[r], acc[r])
		}
		d, e, w, c := acc[0], acc[4], acc[5], acc[6]
		k.op("VADDP %v.S4, %v.S4, %v.S4", acc[1], d, d)
		k.op("VADDP %v.S4, %v.S4, %v.S4", acc[3], acc[2], acc[2])
		k.op("VADDP %v.S4, %v.S4, %v.S4", acc[2], d, d)
		if bits == 6 {
			k.op("VADD %v.S4, %v.S4, %v.S4", d, d, d)
		}
		dst, bases, coefs, widths := k.arg("dst"), k.arg("bases"), k.arg("coefs"), k.arg("widths")
		k.repeat(bases, e)
		k.op("VSUB %v.S4, %v.S4, %v.S4", e, d, d)
		k.load(c, coefs, 0)
		k.word(scvtf(d, d), fmul(d, d, c))
		k.load(e, coefs, 16)
		k.repeat(widths, w)
		k.word(fmul(e, e, w))
		k.load(c, coefs, 32)
		k.advance(4, widths)
		k.repeat(widths, w)
		k.word(fmul(c, c, w), fadd(e, e, c), fadd(d, d, e))
		k.store(d, dst, 0)
	})
}
