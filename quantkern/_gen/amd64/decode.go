package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// decodeQ8x0 emits the decoding of consecutive blocks of Q8_0; ahead is how
// far, in bytes, lie those that will be decoded next.
func decodeQ8x0() {
	const values, bytes = 32, 34
	function("DecodeQ8x0", "func(dst *float32, src *byte, blocks, ahead uintptr)", "DecodeQ8x0 unpacks blocks of 32 values and fetches those that lie ahead.")
	dst, src, ahead := arg("dst"), arg("src"), arg("ahead")
	part := bytesPerPart()
	loop("blocks", arg("blocks"), func() {
		PREFETCHT0(Mem{Base: src, Index: ahead, Scale: 1})
		d, halves := vreg(), reg.VecVirtual(XMM())
		if wide {
			halves = YMM()
		}
		VPBROADCASTW(Mem{Base: src}, halves)
		VCVTPH2PS(halves, d)
		for at := 0; at < values; at += part / 4 {
			v := vreg()
			VPMOVSXBD(Mem{Base: src, Disp: 2 + at}, v)
			VCVTDQ2PS(v, v)
			VMULPS(d, v, v)
			VMOVUPS(v, Mem{Base: dst, Disp: 4 * at})
		}
		ADDQ(Imm(bytes), src)
		ADDQ(I32(4*values), dst)
	})
	VZEROUPPER()
	RET()
}
