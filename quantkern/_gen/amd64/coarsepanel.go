package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels of quantkern's coarse bounds on tile registers: up to eight groups of four rows of 8-bit codes
// times up to 32 rows of activations. Codes are the left tiles here, 16 rows × 64 values as they come out of
// their planes; activations lie in right ones, 16 times four values of 16 rows each.

const (
	groupsATime = panelRows / screenRows
	chunkValues = 64
)

// coarsePanel emits the dots of groups with up to 16 or 32 rows of activations: while a chunk is unpacked the one before is
// multiplied, and that of the groups eight further on is fetched.
func coarsePanel(tiles int) {
	name := fmt.Sprintf("CoarsePanelx%d", tiles)
	function(name, "func(dots *int32, six, low *byte, groups uintptr, y *int8, ldy, chunks uintptr, room *byte)",
		fmt.Sprintf("%s writes the dots, 32 for each row of codes, of up to 8 groups of 4 rows of 8-bit codes and %d rows of 8-bit activations. room are 4 KB.", name, 16*tiles))
	const bits, left, right = 8, 4, 6
	six, low, sixRow, lowRow := reg.RDI, reg.RSI, reg.R8, reg.R9
	read, write, stride, count := reg.RAX, reg.RDX, reg.RBX, reg.RCX
	y := []reg.Register{reg.R10, reg.R11}[:tiles]
	chunks, to := reg.R14, reg.R15
	configureWholeTiles(read)
	p := planesAt(bits, reg.R12, reg.R13, reg.ECX)
	Load(Param("chunks"), chunks)
	MOVQ(chunks, lowRow)
	SHLQ(U8(6), lowRow) // chunkLow bytes each
	LEAQ(Mem{Base: lowRow, Index: lowRow, Scale: 2}, sixRow)
	Load(Param("six"), six)
	Load(Param("low"), low)
	Load(Param("y"), y[0])
	if tiles > 1 {
		Load(Param("ldy"), y[1])
		ADDQ(y[0], y[1])
	}
	Load(Param("room"), write)
	LEAQ(Mem{Base: write, Disp: 2 * tileBytes}, read)
	MOVQ(I32(chunkValues), stride)
	at := func(base reg.Register, disp int) Mem { return Mem{Base: base, Index: stride, Scale: 1, Disp: disp} }
	multiply := func() {
		for a := range 2 {
			tileLoad(left+a, at(read, a*tileBytes))
		}
		for b := range tiles {
			tileLoad(right+b, at(y[b], 0))
			for a := range 2 {
				tileDots(prefix66, 2*a+b, left+a, right+b)
			}
		}
	}
	clearSums := func() {
		for a := range 2 {
			for b := range tiles {
				tileZero(2*a + b)
			}
		}
	}
	clearSums()
	Label("chunks")
	MOVQ(six, p.six)
	MOVQ(low, p.low)
	MOVQ(write, to)
	Load(Param("groups"), count)
	Label("groups")
	u := p.unpack()
	for r := range u {
		VMOVDQU32(u[r], Mem{Base: to, Disp: chunkValues * r})
	}
	p.fetch(PREFETCHT1, Mem{Base: p.six, Index: sixRow, Scale: groupsATime}, Mem{Base: p.low, Index: lowRow, Scale: groupsATime})
	ADDQ(sixRow, p.six)
	ADDQ(lowRow, p.low)
	ADDQ(I32(screenRows*chunkValues), to)
	DECQ(count)
	JNZ(LabelRef("groups"))
	multiply()
	XCHGQ(read, write)
	ADDQ(I32(chunkSix), six)
	ADDQ(I32(chunkLow), low)
	afterFirst(chunks, clearSums, y, tileBytes)
	DECQ(chunks)
	JNZ(LabelRef("chunks"))
	multiply()
	Load(Param("dots"), write)
	MOVQ(I32(4*panelRows), stride)
	for a := range 2 {
		for b := range tiles {
			tileStore(2*a+b, at(write, a*16*4*panelRows+64*b))
		}
	}
	releaseTiles()
	VZEROUPPER()
	RET()
}

// coarseEnd emits the end of the bounds of four groups with up to 16 rows of activations, as coarseTile has it.
func coarseEnd() {
	function("CoarseEnd", "func(dst *float32, ldd uintptr, dots *int32, turned *int32, rows uintptr, mask uint32, bases *int32, coefs, widths *float32)",
		"CoarseEnd turns the dots of 16 rows of codes, of which mask has a bit, and of rows of activations into upper bounds. turned is room for 256.")
	const coefsOf = 3 * 4 * screenRows // bytes of a group's coefs
	mask := GP32()
	MOVL(argMem("mask"), mask)
	whole := K()
	KMOVW(mask, whole)
	coefs, dots, turned := arg("coefs"), arg("dots"), arg("turned")
	var factors [3]reg.VecVirtual // scales, misses, norms of 16 rows
	for i := range factors {
		factors[i] = ZMM()
		zeroReg(factors[i])
	}
	for q := range 4 {
		k, bits := K(), GP32()
		MOVL(mask, bits)
		ANDL(U32(15<<(4*q)), bits)
		KMOVW(bits, k)
		for i := range factors {
			VBROADCASTI32X4(Mem{Base: coefs, Disp: q*coefsOf + 16*i}, k, factors[i])
		}
	}
	// A block of 4 × 4 is turned by itself, then blocks change places.
	var words [4][4]reg.VecVirtual
	for q := range 4 {
		var v [4]reg.VecVirtual
		for j := range v {
			v[j] = ZMM()
			VMOVDQU32(Mem{Base: dots, Disp: (4*q + j) * 4 * panelRows}, v[j])
		}
		words[q] = turnWords(v)
	}
	for k := range 4 {
		var t [4]reg.VecVirtual
		for i := range t {
			t[i] = ZMM()
			from := 2 * (i / 2)
			VSHUFI32X4(U8([]uint8{0x44, 0xee}[i%2]), words[from+1][k], words[from][k], t[i])
		}
		for b := range 4 {
			out := ZMM()
			VSHUFI32X4(U8([]uint8{0x88, 0xdd}[b%2]), t[2+b/2], t[b/2], out)
			VMOVDQU32(out, Mem{Base: turned, Disp: 64 * (4*b + k)})
		}
	}
	dst, ldd, bases, widths := arg("dst"), arg("ldd"), arg("bases"), arg("widths")
	d, e, t := ZMM(), ZMM(), ZMM()
	loop("rows", arg("rows"), func() {
		VMOVDQU32(Mem{Base: turned}, d)
		upperBound(d, e, t, Mem{Base: bases}, Mem{Base: widths}, [3]Op{factors[0], factors[1], factors[2]})
		VMOVUPS(d, whole, Mem{Base: dst})
		ADDQ(ldd, dst)
		ADDQ(I32(64), turned)
		ADDQ(I32(4), bases)
		ADDQ(I32(8), widths)
	})
	VZEROUPPER()
	RET()
}
