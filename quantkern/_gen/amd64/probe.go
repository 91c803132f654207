package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The probes measure what the processor can do, for quantkern.ReadProbe and
// quantkern.Int8Probe.

// foldInts folds registers to their lower 128 bits with op, which works on
// parts of 32 bits or is indifferent to their size.
func foldInts(rs []reg.VecVirtual, op func(b, a, dst Op)) reg.VecVirtual {
	for n := len(rs) / 2; n > 0; n /= 2 {
		for i := range n {
			op(rs[i+n], rs[i], rs[i])
		}
	}
	y := YMM()
	if wide {
		VEXTRACTI64X4(U8(1), rs[0], y)
		op(rs[0].AsY(), y, y)
	} else {
		y = rs[0]
	}
	x := XMM()
	if wide {
		VEXTRACTI32X4(U8(1), y, x)
	} else {
		VEXTRACTI128(U8(1), y, x)
	}
	op(y.AsX(), x, x)
	return x
}

// readProbe streams memory: the exclusive or of all 64-bit words.
func readProbe() {
	const lines = 8
	function("ReadProbe", "func(p *byte, blocks, ahead uintptr) uint64", "ReadProbe returns the exclusive or of the 64-bit words of blocks of 512 bytes, prefetched ahead bytes before they are read.")
	p, ahead := arg("p"), arg("ahead")
	acc := make([]reg.VecVirtual, lines)
	for i := range acc {
		acc[i] = vreg()
		zeroReg(acc[i])
	}
	loop("blocks", arg("blocks"), func() {
		for i, a := range acc {
			PREFETCHT0(Mem{Base: p, Index: ahead, Scale: 1, Disp: 64 * i})
			for off := 0; off < 64; off += bytesPerPart() {
				xor(Mem{Base: p, Disp: 64*i + off}, a, a)
			}
		}
		ADDQ(I32(64*lines), p)
	})
	x := foldInts(acc, xor)
	t, r := XMM(), GP64()
	VPSRLDQ(U8(8), x, t)
	xor(t, x, x)
	VMOVQ(x, r)
	Store(r, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// returnSum returns the sum of all numbers in the registers.
func returnSum(acc []reg.VecVirtual) {
	x := foldInts(acc, func(b, a, dst Op) { VPADDD(b, a, dst) })
	t, r := XMM(), GP32()
	VPSHUFD(U8(0x4e), x, t)
	VPADDD(t, x, x)
	VPSHUFD(U8(0xb1), x, t)
	VPADDD(t, x, x)
	VMOVD(x, r)
	Store(r, ReturnIndex(0))
}

// int8Probe multiplies ones with ones in registers, 1024 products a round, as
// the ternary tiles of the tier do, and counts them.
func int8Probe() {
	function("Int8Probe", "func(rounds uintptr) uint32", "Int8Probe adds up 1024 products of int8 ones a round, modulo 2^32.")
	ones := constant(0x01010101)[0]
	parts := 8
	if wide {
		parts = 16
	}
	acc := make([]reg.VecVirtual, parts)
	for i := range acc {
		acc[i] = vreg()
		zeroReg(acc[i])
	}
	var words reg.VecVirtual
	if !wide {
		words = constant(0x00010001)[0]
	}
	loop("rounds", arg("rounds"), func() {
		for _, a := range acc {
			if wide {
				VPDPBUSD(ones, ones, a)
				continue
			}
			sum, t := YMM(), YMM()
			VPMADDUBSW(ones, ones, sum)
			for range 3 {
				VPMADDUBSW(ones, ones, t)
				VPADDW(t, sum, sum)
			}
			VPMADDWD(words, sum, sum)
			VPADDD(sum, a, a)
		}
	})
	returnSum(acc)
	VZEROUPPER()
	RET()
}

// int8ProbeTiles is int8Probe on tiles: 65,536 products a round.
func int8ProbeTiles() {
	function("Int8Probe", "func(rounds uintptr, room *byte) uint32", "Int8Probe adds up 65536 products of int8 ones a round, modulo 2^32. It writes 4096 bytes.")
	const sumsBytes = 4 * tileBytes
	configureWholeTiles(reg.RAX)
	Load(Param("room"), reg.RSI)
	MOVQ(I32(64), reg.RBX)
	MOVL(U32(0x01010101), reg.EAX)
	ones := ZMM()
	VPBROADCASTD(reg.EAX, ones)
	for i := range 16 {
		VMOVDQU32(ones, Mem{Base: reg.RSI, Disp: 64 * i})
	}
	for _, t := range []int{4, 5, 6, 7} {
		tileLoad(t, Mem{Base: reg.RSI, Index: reg.RBX, Scale: 1})
	}
	for t := range 4 {
		tileZero(t)
	}
	Load(Param("rounds"), reg.RCX)
	TESTQ(reg.RCX, reg.RCX)
	JZ(LabelRef("end"))
	Label("rounds")
	for t := range 4 {
		tileDots(prefixF3, t, 4+t/2, 6+t%2)
	}
	DECQ(reg.RCX)
	JNZ(LabelRef("rounds"))
	Label("end")
	for t := range 4 {
		tileStore(t, Mem{Base: reg.RSI, Index: reg.RBX, Scale: 1, Disp: tileBytes * t})
	}
	releaseTiles()
	sum := ZMM()
	zeroReg(sum)
	for i := range sumsBytes / 64 {
		VPADDD(Mem{Base: reg.RSI, Disp: 64 * i}, sum, sum)
	}
	r := GP32()
	VMOVD(foldPart(sum, addInts), r)
	Store(r, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
