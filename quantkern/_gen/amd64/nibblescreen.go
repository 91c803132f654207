package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Four blocks of Q4_0 (9 words each: a scale and 8 words of nibbles) make a
// chunk of 128 values, whose nibbles fill one register.
const (
	nibbleRows  = 4
	nibbleBlock = 9                   // words
	nibbleChunk = 2 * 4 * nibbleBlock // bytes
	nibbleActs  = 5 * 64              // bytes of activations of a chunk
)

// nibbles unpacks chunks.
type nibbles struct{ codes, scales, mask, zero reg.VecVirtual }

func newNibbles() nibbles {
	codes, scales := make([]uint32, 16), make([]uint32, 16)
	for i := range codes {
		word := func(j int) uint32 { return uint32(j/8*nibbleBlock + 1 + j%8) }
		codes[i] = word(2*i) | word(2*i+1)<<16
		scale := uint32(i % 8 / 2 * nibbleBlock)
		scales[i] = scale | scale<<16
	}
	n := nibbles{table("nibblecodes", 4, codes...), table("nibblescales", 4, scales...), constant(0x0f0f0f0f)[0], ZMM()}
	zeroReg(n.zero)
	return n
}

// unpack gives the low and high nibbles of the chunk at at(0), and the scale of
// each lane.
func (n nibbles) unpack(at func(disp int) Mem) (low, high, scale reg.VecVirtual) {
	rest := XMM()
	low, high, scale = ZMM(), ZMM(), ZMM()
	VMOVDQU32(at(0), low)
	VMOVQ(at(64), rest)
	VPERMW(low, n.scales, scale)
	VCVTPH2PS(scale.AsY(), scale)
	VMOVDQA64(n.codes, high)
	VPERMI2W(rest.AsZ(), low, high)
	VPANDD(n.mask, high, low)
	VPSRLW(U8(4), high, high)
	VPANDD(n.mask, high, high)
	return low, high, scale
}

// add adds the products of a chunk with the activations at y(0) to acc.
func (n nibbles) add(low, high, scale, acc reg.VecVirtual, y func(disp int) Op) {
	dot := ZMM()
	VMOVDQA64(n.zero, dot)
	VPDPBUSD(y(0), low, dot)
	VPDPBUSD(y(64), high, dot)
	VPSLLD(U8(8), dot, dot)
	VPDPBUSD(y(128), low, dot)
	VPDPBUSD(y(192), high, dot)
	VPADDD(y(256), dot, dot)
	VCVTDQ2PS(dot, dot)
	VMULPS(scale, dot, dot)
	VADDPS(dot, acc, acc)
}

// nibbleTile emits, in AVX-512, the upper bounds of 4 rows of Q4_0 with n rows
// of split activations (see quantkern's nibbleDot):
//
//	dst[i*ldd + r] = Σ lanes(Σ chunks float32(dot)·scale) + norms[r]·widths[2i+1]
//
// where dot is 256·Σ q·high + Σ q·low + base of the eight values of a lane. A
// single row of activations stays in registers for all rows of weights.
func nibbleTile(n int, past bool) {
	name, fetch := fmt.Sprintf("Nibblesx%d", n), PREFETCHT0
	if n == 1 {
		name, fetch = towards(name, past)
	}
	function(name, "func(dst *float32, ldd uintptr, w *byte, ldw uintptr, y *byte, ldy, chunks uintptr, norms, widths *float32)",
		fmt.Sprintf("%s bounds the products of 4 rows of Q4_0 with %d rows of activations.", name, n))
	unpacker, ldw := newNibbles(), arg("ldw")
	w := newRowsAt(arg("w"), ldw, nibbleRows)
	far := GP64()
	MOVQ(ldw, far)
	SHLQ(U8(3), far) // the group after next, in one stream
	ADDQ(w.bases[0], far)
	y := newRowsAt(arg("y"), arg("ldy"), n)
	acc := make([][nibbleRows]lanes, n)
	for i := range acc {
		for r := range acc[i] {
			acc[i][r] = newLanes().zero()
		}
	}
	loop("chunks", arg("chunks"), func() {
		for line := range (nibbleRows*nibbleChunk + 63) / 64 {
			fetch(Mem{Base: far, Disp: 64 * line})
		}
		at := func(i, disp int) Op { return y.row(i, disp) }
		if n == 1 {
			var kept [nibbleActs / 64]reg.VecVirtual
			for j := range kept {
				kept[j] = ZMM()
				VMOVDQU32(y.row(0, 64*j), kept[j])
			}
			at = func(_, disp int) Op { return kept[disp/64] }
		}
		for r := range nibbleRows {
			low, high, scale := unpacker.unpack(func(disp int) Mem { return w.row(r, disp) })
			for i := range acc {
				unpacker.add(low, high, scale, acc[i][r][0], func(disp int) Op { return at(i, disp) })
			}
		}
		w.advance(nibbleChunk)
		ADDQ(I32(nibbleRows*nibbleChunk), far)
		y.advance(nibbleActs)
	})
	dst, ldd, norms, widths := arg("dst"), arg("ldd"), arg("norms"), arg("widths")
	for i, a := range acc {
		sum, e := sum4(a[0], a[1], a[2], a[3]), XMM()
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
