package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// ternaryTile256 emits the product of 4 rows of codes with n activation rows
// through VPMADDUBSW. The pairs of a block of 128 codes stay below 2^15 even
// for the undefined code 3 (4·2·3·127 = 3048), and are widened block by block.
func ternaryTile256(l layout, n int) {
	w, a, acc := beginTile(l, n)
	mask, ones := constant(0x03030303)[0], constant(0x00010001)[0]
	block := func(woff, aoff int) {
		for r := range tileRows {
			v, u, t := YMM(), YMM(), YMM()
			sum := make([]reg.VecVirtual, n)
			VMOVDQU(w.row(r, woff), v)
			for q, shift := range l.shifts {
				lowCodes(shift, mask, v, u)
				for i := range sum {
					if q == 0 {
						sum[i] = YMM()
						VPMADDUBSW(a.row(i, aoff+32*q), u, sum[i])
						continue
					}
					VPMADDUBSW(a.row(i, aoff+32*q), u, t)
					VPADDW(t, sum[i], sum[i])
				}
			}
			for i := range sum {
				VPMADDWD(ones, sum[i], t)
				VPADDD(t, acc[i][r], acc[i][r])
			}
		}
	}
	eachHalf(l, w, a, block)
	e := newEpilogue()
	for i, c := range acc {
		e.put(i, tileRows, i == n-1, sumInts(c))
	}
	VZEROUPPER()
	RET()
}

// eachHalf emits block for each 128 codes, with their place in the weights and in the activations.
func eachHalf(l layout, w, a rowsAt, block func(woff, aoff int)) {
	next := newFetcher()
	loop("chunks", arg("chunks"), func() {
		next.chunk()
		block(0, 0)
		block(32, 128)
		w.advance(l.step)
		a.advance(256)
	})
	tail := arg("tail")
	TESTQ(tail, tail)
	JZ(LabelRef("done"))
	block(0, 0)
	Label("done")
}

// quantize256 emits the second half of QuantizeRow: q = round(x·s) in natural
// order, which is that of the 256-bit tiles, and Σ q.
func quantize256() {
	order := GLOBL("packorder", RODATA|NOPTR)
	for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(v))
	}
	function("Quantize", "func(q *int8, x *float32, chunks, tail uintptr, s float32) int32", "Quantize rounds x·s to int8 in the order of the ternary tiles and returns the sum.")
	q, x := arg("q"), arg("x")
	s, magic, perm, sum := YMM(), constant(roundMagic)[0], YMM(), YMM()
	VBROADCASTSS(argMem("s"), s)
	VMOVDQU(order, perm)
	VPXOR(sum, sum, sum)
	groups := func(n int) {
		for g := range n {
			v := make([]reg.VecVirtual, 4)
			for i := range v {
				v[i] = YMM()
				VMULPS(Mem{Base: x, Disp: 128*g + 32*i}, s, v[i])
				VADDPS(magic, v[i], v[i])
				VPSUBD(magic, v[i], v[i])
				VPADDD(v[i], sum, sum)
			}
			VPACKSSDW(v[1], v[0], v[0])
			VPACKSSDW(v[3], v[2], v[2])
			VPACKSSWB(v[2], v[0], v[0])
			VPERMD(v[0], perm, v[0])
			VMOVDQU(v[0], Mem{Base: q, Disp: 32 * g})
		}
	}
	loop("chunks", arg("chunks"), func() {
		groups(8)
		ADDQ(I32(256), q)
		ADDQ(I32(1024), x)
	})
	tail := arg("tail")
	TESTQ(tail, tail)
	JZ(LabelRef("done"))
	groups(4)
	Label("done")
	r := GP32()
	VMOVD(foldPart(sum, addInts), r)
	Store(r, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
