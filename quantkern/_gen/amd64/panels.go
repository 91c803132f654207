package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The kernels of quantkern's panels: 32 rows of weights times many rows of
// activations on the tile registers of AMX. A tile of activations is 16 rows × 64
// values, one of codes 16 values of k × 16 rows × 4 values of k, as the
// instruction has it; a step is 64 codes of a row.
const (
	tileBytes  = 1024
	panelRows  = 32
	stepBytes  = panelRows / 16 * tileBytes
	chunkSteps = 4

	fewAhead = 3 // chunks that fewPanel fetches ahead
)

// unpackPanel emits the unpacking of 16 rows of codes to tiles, one byte a
// code: the steps of a chunk are its four quarters.
func unpackPanel(l layout) {
	name := l.name + "Panel"
	function(name, "func(dst, w *byte, ldw, chunks, tail uintptr, next *byte)", name+" unpacks 16 rows of 2-bit codes to tiles, every other one from dst on, and fetches a line of eight rows from next on with each chunk.")
	dst, next := arg("dst"), arg("next")
	ldw := arg("ldw")
	bases, ldw3 := []reg.Register{arg("w"), GP64(), GP64(), GP64()}, GP64()
	row := eachFourth(bases, ldw, ldw3)
	rows := newUnpackRows(l, GP32())
	chunk := func(blocks int) {
		for block := range blocks {
			rows.block(row, block, Mem{Base: dst})
		}
	}
	loop("chunks", arg("chunks"), func() {
		fetchFour(next, ldw, ldw3)
		chunk(4)
		fetchFour(next, ldw, ldw3)
		for _, b := range bases {
			ADDQ(I32(int32(l.step)), b)
		}
		ADDQ(I32(chunkSteps*stepBytes), dst)
	})
	tail := arg("tail")
	TESTQ(tail, tail)
	JZ(LabelRef("done"))
	chunk(2)
	zero := ZMM()
	zeroReg(zero)
	for q := range chunkSteps {
		for k := 8; k < 16; k++ {
			VMOVDQU32(zero, Mem{Base: dst, Disp: q*stepBytes + 64*k})
		}
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// eachFourth computes the bases of each fourth row after the first, and three times the distance of rows, for fourths.
func eachFourth(bases []reg.Register, ldw, ldw3 reg.Register) func(r, disp int) Mem {
	for i := 1; i < len(bases); i++ {
		LEAQ(Mem{Base: bases[i-1], Index: ldw, Scale: 4}, bases[i])
	}
	LEAQ(Mem{Base: ldw, Index: ldw, Scale: 2}, ldw3)
	return fourths(bases, ldw, ldw3)
}

// fourths addresses rows from each fourth on, with their distance and three times that.
func fourths(bases []reg.Register, ldw, ldw3 reg.Register) func(r, disp int) Mem {
	return func(r, disp int) Mem {
		m := Mem{Base: bases[r/4], Disp: disp}
		switch r % 4 {
		case 1, 2:
			m.Index, m.Scale = ldw, uint8(r%4)
		case 3:
			m.Index, m.Scale = ldw3, 1
		}
		return m
	}
}

// fetchFour fetches a line of four rows from next on, and moves that on.
func fetchFour(next, ldw, ldw3 reg.Register) {
	row := fourths([]reg.Register{next}, ldw, ldw3)
	for r := range 4 {
		PREFETCHT0(row(r, 0))
	}
	LEAQ(Mem{Base: next, Index: ldw, Scale: 4}, next)
}

// unpackRows unpacks codes of 16 rows.
type unpackRows struct {
	layout
	mask   reg.VecVirtual
	blocks [4]reg.OpmaskVirtual // each 128 bits; the first is not needed
}

func newUnpackRows(l layout, t reg.Register) unpackRows {
	u := unpackRows{layout: l, mask: constantVia(t, 0x03030303)}
	for i := 1; i < len(u.blocks); i++ {
		u.blocks[i] = K()
		MOVL(U32(15<<(4*i)), t)
		KMOVW(t, u.blocks[i])
	}
	return u
}

// block emits the unpacking of 16 bytes of each row.
func (u unpackRows) block(row func(r, disp int) Mem, block int, dst Mem) {
	// Each 128 bits are of four rows: in v[j] of rows j, 4+j, 8+j and 12+j. They are put there by loads with masks,
	// because inserting takes the port of the shuffles.
	var v [4]reg.VecVirtual
	for j := range v {
		v[j] = ZMM()
		VBROADCASTI32X4(row(j, 16*block), v[j])
		for q := 1; q < 4; q++ {
			VBROADCASTI32X4(row(4*q+j, 16*block), u.blocks[q], v[j])
		}
	}
	for k, word := range turnWords(v) {
		for q, shift := range u.shifts {
			codes := ZMM()
			lowCodes(shift, u.mask, word, codes)
			VMOVDQU32(codes, dst.Offset(q*stepBytes+64*(4*block+k)))
		}
	}
}

// turnWords turns four registers whose blocks have words a0 a1 a2 a3, b0 …: word k of all four
// in register k.
func turnWords(v [4]reg.VecVirtual) (words [4]reg.VecVirtual) {
	var t [4]reg.VecVirtual
	for i := range t {
		t[i], words[i] = ZMM(), ZMM()
	}
	VPUNPCKLDQ(v[1], v[0], t[0]) // a0 b0 a1 b1
	VPUNPCKLDQ(v[3], v[2], t[1]) // c0 d0 c1 d1
	VPUNPCKHDQ(v[1], v[0], t[2])
	VPUNPCKHDQ(v[3], v[2], t[3])
	VPUNPCKLQDQ(t[1], t[0], words[0])
	VPUNPCKHQDQ(t[1], t[0], words[1])
	VPUNPCKLQDQ(t[3], t[2], words[2])
	VPUNPCKHQDQ(t[3], t[2], words[3])
	return words
}

// multiplyStep emits the products of step q: sums 2i+j are of tile i of the activations and tile j of the codes.
func multiplyStep(acts []reg.Register, codes, stride reg.Register, q int) {
	at := func(base reg.Register, disp int) Mem { return Mem{Base: base, Index: stride, Scale: 1, Disp: disp} }
	const left, right = 4, 6
	tileLoad(left, at(acts[0], q*tileBytes))
	tileLoad(right, at(codes, q*stepBytes))
	tileDots(prefixF3, 0, left, right)
	tileLoad(right+1, at(codes, q*stepBytes+tileBytes))
	tileDots(prefixF3, 1, left, right+1)
	if len(acts) > 1 {
		tileLoad(left+1, at(acts[1], q*tileBytes))
		tileDots(prefixF3, 2, left+1, right)
		tileDots(prefixF3, 3, left+1, right+1)
	}
}

// multiplyPanel emits sums += activations × codes, or = where first is 1, for
// pairs of 16 rows of activations and, when single is 1, 16 rows more.
func multiplyPanel() {
	function("Multiply", "func(sums *int32, a *int8, lda uintptr, b *byte, steps, pairs, single, first uintptr, next *byte, ldw uintptr)",
		"Multiply adds to sums, 32 for each row of activations, the products of tiles of activations, lda from 16 rows to the next, and of codes. It fetches a line of four rows from next on with each step.")
	Load(Param("sums"), reg.RDI)
	Load(Param("a"), reg.RSI)
	Load(Param("lda"), reg.R8)
	Load(Param("pairs"), reg.R9)
	Load(Param("first"), reg.R10)
	Load(Param("next"), reg.R13)
	Load(Param("ldw"), reg.R14)
	LEAQ(Mem{Base: reg.R14, Index: reg.R14, Scale: 2}, reg.R15)
	MOVQ(I32(64), reg.RBX)  // from row to row of a tile
	MOVQ(I32(128), reg.R12) // and of sums
	group := func(name string, tiles int) {
		each := func(do func(t int, at Mem)) {
			for i := range tiles {
				for j := range 2 {
					do(2*i+j, Mem{Base: reg.RDI, Index: reg.R12, Scale: 1, Disp: 2048*i + 64*j})
				}
			}
		}
		TESTQ(reg.R10, reg.R10)
		JZ(LabelRef(name + "_more"))
		each(func(t int, _ Mem) { tileZero(t) })
		JMP(LabelRef(name + "_steps"))
		Label(name + "_more")
		each(tileLoad)
		Label(name + "_steps")
		Load(Param("b"), reg.RDX)
		Load(Param("steps"), reg.R11)
		MOVQ(reg.RSI, reg.RAX)
		LEAQ(Mem{Base: reg.RSI, Index: reg.R8, Scale: 1}, reg.RCX)
		Label(name)
		fetchFour(reg.R13, reg.R14, reg.R15)
		acts := []reg.Register{reg.RAX, reg.RCX}[:tiles]
		multiplyStep(acts, reg.RDX, reg.RBX, 0)
		for _, b := range acts {
			ADDQ(I32(tileBytes), b)
		}
		ADDQ(I32(stepBytes), reg.RDX)
		DECQ(reg.R11)
		JNZ(LabelRef(name))
		each(tileStore)
		XORQ(reg.R14, reg.R14) // once is enough
		XORQ(reg.R15, reg.R15)
	}
	TESTQ(reg.R9, reg.R9)
	JZ(LabelRef("last"))
	configureWholeTiles(reg.RAX)
	Label("pairs")
	group("two", 2)
	LEAQ(Mem{Base: reg.RSI, Index: reg.R8, Scale: 2}, reg.RSI)
	ADDQ(I32(4*panelRows*32), reg.RDI)
	DECQ(reg.R9)
	JNZ(LabelRef("pairs"))
	Label("last")
	Load(Param("single"), reg.R9)
	TESTQ(reg.R9, reg.R9)
	JZ(LabelRef("done"))
	configureTiles(reg.R9, reg.RAX)
	group("one", 1)
	Label("done")
	releaseTiles()
	RET()
}

// finishPanel emits the end of the products of a panel, as the other tiles have it.
func finishPanel() {
	function("Finish", "func(dst *float32, ldd uintptr, dots *int32, rows uintptr, sums *int32, scales *float32, scale float32, mask uint32)",
		"Finish stores float32(dot - sum) / scales · scale of 32 dots of each row of activations, where mask has a bit.")
	dst, ahead := Load(Param("dst"), reg.RDI), Load(Param("ldd"), reg.RCX) // fetchToWrite wants physical ones
	ldd, dots, sums, scales := arg("ldd"), arg("dots"), arg("sums"), arg("scales")
	scale := ZMM()
	VBROADCASTSS(argMem("scale"), scale)
	bits := GP32()
	MOVL(argMem("mask"), bits)
	var k [2]reg.OpmaskVirtual
	for i := range k {
		k[i] = K()
		KMOVW(bits, k[i])
		SHRL(U8(16), bits)
	}
	sum, by := ZMM(), ZMM()
	SHLQ(U8(4), ahead)
	loop("rows", arg("rows"), func() {
		for i := range k {
			fetchToWrite(Mem{Base: dst, Index: ahead, Scale: 1, Disp: 64 * i})
		}
		VPBROADCASTD(Mem{Base: sums}, sum)
		VBROADCASTSS(Mem{Base: scales}, by)
		for i := range k {
			v := ZMM()
			VMOVDQU32(Mem{Base: dots, Disp: 64 * i}, v)
			VPSUBD(sum, v, v)
			VCVTDQ2PS(v, v)
			VDIVPS(by, v, v)
			VMULPS(scale, v, v)
			VMOVUPS(v, k[i], Mem{Base: dst, Disp: 64 * i})
		}
		ADDQ(ldd, dst)
		ADDQ(I32(4*panelRows), dots)
		ADDQ(I32(4), sums)
		ADDQ(I32(4), scales)
	})
	VZEROUPPER()
	RET()
}
