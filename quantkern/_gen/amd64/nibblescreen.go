package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Four blocks of Q4_0 (36 words: a scale and 8 words of nibbles each) make a
// chunk of 128 values, whose nibbles fill one register.
const (
	nibbleBlock = 9                   // words
	nibbleChunk = 2 * 4 * nibbleBlock // bytes
	nibbleActs  = 5 * 64              // bytes of activations of a chunk
)

// nibbleTile emits, in AVX-512, the upper bounds of 4 rows of Q4_0 with n rows
// of split activations (see quantkern's nibbleUpper):
//
//	dst[i*ldd + r] = Σ lanes(Σ chunks float32(dot)·scale) + norms[r]·widths[2i+1]
//
// where dot is 256·Σ q·high + Σ q·low + base of the eight values of a lane.
func nibbleTile(n int) {
	const rows = 4
	name := fmt.Sprintf("Nibblesx%d", n)
	function(name, "func(dst *float32, ldd uintptr, w *byte, ldw uintptr, y *byte, ldy, chunks uintptr, norms, widths *float32)",
		fmt.Sprintf("%s bounds the products of 4 rows of Q4_0 with %d rows of activations.", name, n))
	ldw := arg("ldw")
	w := newRowsAt(arg("w"), ldw, rows)
	far := GP64()
	MOVQ(ldw, far)
	SHLQ(U8(3), far) // the group after next
	ADDQ(w.bases[0], far)
	ahead := newRowsAt(far, ldw, rows)
	y := newRowsAt(arg("y"), arg("ldy"), n)
	codeWords, scaleWords := make([]uint32, 16), make([]uint32, 16)
	for i := range codeWords {
		word := func(j int) uint32 { return uint32(j/8*nibbleBlock + 1 + j%8) }
		codeWords[i] = word(2*i) | word(2*i+1)<<16
		scale := uint32(i % 8 / 2 * nibbleBlock)
		scaleWords[i] = scale | scale<<16
	}
	codes, scales := table("nibblecodes", 4, codeWords...), table("nibblescales", 4, scaleWords...)
	mask := constant(0x0f0f0f0f)[0]
	zero := ZMM()
	zeroReg(zero)
	acc := make([][rows]reg.VecVirtual, n)
	for i := range acc {
		for r := range acc[i] {
			acc[i][r] = ZMM()
			zeroReg(acc[i][r])
		}
	}
	loop("chunks", arg("chunks"), func() {
		for r := range rows {
			PREFETCHT0(ahead.row(r, 0))
			PREFETCHT0(ahead.row(r, 64))
		}
		// A single row of activations stays in registers for all rows of weights.
		at := func(i, disp int) Op { return y.row(i, disp) }
		if n == 1 {
			var kept [nibbleActs / 64]reg.VecVirtual
			for j := range kept {
				kept[j] = ZMM()
				VMOVDQU32(y.row(0, 64*j), kept[j])
			}
			at = func(_, disp int) Op { return kept[disp/64] }
		}
		for r := range rows {
			low, rest, high, scale := ZMM(), XMM(), ZMM(), ZMM()
			VMOVDQU32(w.row(r, 0), low)
			VMOVQ(w.row(r, 64), rest)
			VPERMW(low, scales, scale)
			VCVTPH2PS(scale.AsY(), scale)
			VMOVDQA64(codes, high)
			VPERMI2W(rest.AsZ(), low, high)
			VPANDD(mask, high, low)
			VPSRLW(U8(4), high, high)
			VPANDD(mask, high, high)
			for i := range acc {
				dot := ZMM()
				VMOVDQA64(zero, dot)
				VPDPBUSD(at(i, 0), low, dot)
				VPDPBUSD(at(i, 64), high, dot)
				VPSLLD(U8(8), dot, dot)
				VPDPBUSD(at(i, 128), low, dot)
				VPDPBUSD(at(i, 192), high, dot)
				VPADDD(at(i, 256), dot, dot)
				VCVTDQ2PS(dot, dot)
				VMULPS(scale, dot, dot)
				VADDPS(dot, acc[i][r], acc[i][r])
			}
		}
		w.advance(nibbleChunk)
		ahead.advance(nibbleChunk)
		y.advance(nibbleActs)
	})
	dst, ldd, norms, widths := arg("dst"), arg("ldd"), arg("norms"), arg("widths")
	for i, a := range acc {
		sum, e := sum4(lanes{a[0]}, lanes{a[1]}, lanes{a[2]}, lanes{a[3]}), XMM()
		VBROADCASTSS(Mem{Base: widths, Disp: 8*i + 4}, e)
		VMULPS(Mem{Base: norms}, e, e)
		VADDPS(e, sum, sum)
		VMOVUPS(sum, Mem{Base: dst})
		if i+1 < n {
			ADDQ(ldd, dst)
		}
	}
	VZEROUPPER()
	RET()
}
