package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// screenTile256 emits screenTile for one activation row, in AVX2.
func screenTile256(bits int) {
	name := fmt.Sprintf("Screen%dx1", bits)
	function(name, "func(dst *float32, ldd uintptr, six, low *byte, y *int16, ldy, chunks uintptr, bases *int32, coefs, widths *float32)",
		fmt.Sprintf("%s bounds the products of 4 rows of %d-bit codes with a row of activations.", name, bits))
	six, low, y := arg("six"), arg("low"), arg("y")
	topSix, lowTwo, bytes := constant(0xfcfcfcfc)[0], constant(0x03030303)[0], constant(0x00ff00ff)[0]
	acc := dots4(1)[0]
	const ahead = 40 // chunks
	loop("chunks", arg("chunks"), func() {
		for line := range chunkSix / 64 {
			PREFETCHT0(Mem{Base: six, Disp: ahead*chunkSix + 64*line})
		}
		if bits == 8 {
			PREFETCHT0(Mem{Base: low, Disp: ahead * chunkLow})
		}
		for off := 0; off < chunkLow; off += 32 {
			var lower reg.VecVirtual
			if bits == 8 {
				lower = YMM()
				VMOVDQU(Mem{Base: low, Disp: off}, lower)
			}
			add := func(r int, u reg.VecVirtual) {
				t := YMM()
				if bits == 8 {
					VPAND(lowTwo, lower, t)
					VPOR(t, u, u)
					if r+1 < screenRows {
						VPSRLD(U8(2), lower, lower)
					}
				}
				VPAND(bytes, u, t)
				VPMADDWD(Mem{Base: y, Disp: off}, t, t)
				VPADDD(t, acc[r], acc[r])
				VPSRLW(U8(8), u, u)
				VPMADDWD(Mem{Base: y, Disp: 64 + off}, u, u)
				VPADDD(u, acc[r], acc[r])
			}
			last := YMM()
			for r := range screenRows - 1 {
				x, t := YMM(), YMM()
				VMOVDQU(Mem{Base: six, Disp: 64*r + off}, x)
				if r == 0 {
					VPAND(lowTwo, x, last)
				} else {
					VPAND(lowTwo, x, t)
					VPOR(t, last, last)
				}
				VPSLLD(U8(2), last, last)
				VPAND(topSix, x, x)
				add(r, x)
			}
			add(screenRows-1, last)
		}
		ADDQ(I32(chunkSix), six)
		ADDQ(I32(chunkLow), low)
		ADDQ(I32(128), y)
	})
	b := newBounds(bits)
	b.put(0, sumInts(acc), true)
	VZEROUPPER()
	RET()
}
