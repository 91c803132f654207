package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// expSum: x[i] = exp(x[i]-max); returns the sum in float64 lanes.
func expSum(c Mem) {
	function("ExpSum", "func(x *float32, blocks uintptr, max float32) float64", "ExpSum replaces x by exp(x-max), 16 values a block, and returns their sum in float64 lanes.")
	x := arg("x")
	m := vreg()
	VBROADCASTSS(argMem("max"), m)
	acc := newSums()
	part := bytesPerPart()
	loop("blocks", arg("blocks"), func() {
		for i := range newLanes() {
			v := vreg()
			VMOVUPS(Mem{Base: x, Disp: part * i}, v)
			VSUBPS(m, v, v)
			expReg(c, v)
			VMOVUPS(v, Mem{Base: x, Disp: part * i})
			acc.add(i, v)
		}
		ADDQ(Imm(64), x)
	})
	Store(acc.total(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// sums are sixteen float64 lanes: two 512-bit registers or four of 256.
type sums []reg.VecVirtual

func newSums() sums {
	s := make(sums, 128/bytesPerPart())
	for i := range s {
		s[i] = vreg()
		zeroReg(s[i])
	}
	return s
}

// add widens part i of a lanes value and adds it.
func (s sums) add(i int, v reg.VecVirtual) {
	t := vreg()
	if wide {
		y := YMM()
		VCVTPS2PD(v.AsY(), t)
		VADDPD(t, s[0], s[0])
		VEXTRACTF64X4(U8(1), v, y)
		VCVTPS2PD(y, t)
		VADDPD(t, s[1], s[1])
		return
	}
	x := XMM()
	VCVTPS2PD(v.AsX(), t)
	VADDPD(t, s[2*i], s[2*i])
	upper(v, x)
	VCVTPS2PD(x, t)
	VADDPD(t, s[2*i+1], s[2*i+1])
}

// total folds the lanes: l+8, l+4, l+2, l+1.
func (s sums) total() reg.VecVirtual {
	var y reg.VecVirtual // lanes 0..3 after folding 8 and 4
	if wide {
		VADDPD(s[1], s[0], s[0])
		y = YMM()
		VEXTRACTF64X4(U8(1), s[0], y)
		VADDPD(y, s[0].AsY(), y)
	} else {
		VADDPD(s[2], s[0], s[0])
		VADDPD(s[3], s[1], s[1])
		VADDPD(s[1], s[0], s[0])
		y = s[0]
	}
	x, t := XMM(), XMM()
	upper(y, x)
	VADDPD(y.AsX(), x, x)
	VUNPCKHPD(x, x, t)
	VADDSD(t, x, x)
	return x
}

// sumSquares returns Σ x² with float32 squares in float64 lanes.
func sumSquares() {
	function("SumSquares", "func(x *float32, blocks uintptr) float64", "SumSquares adds up the squares of 16 values a block in float64 lanes.")
	x := arg("x")
	acc := newSums()
	part := bytesPerPart()
	loop("blocks", arg("blocks"), func() {
		for i := range newLanes() {
			v := vreg()
			VMOVUPS(Mem{Base: x, Disp: part * i}, v)
			VMULPS(v, v, v)
			acc.add(i, v)
		}
		ADDQ(Imm(64), x)
	})
	Store(acc.total(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// fold combines sixteen lanes with an operation whose order does not matter; the
// result is in element 0. It destroys l.
func (l lanes) fold(op func(a, b, dst Op)) reg.VecVirtual {
	if !wide {
		op(l[1], l[0], l[0])
	}
	return foldPart(l[0], op)
}

// foldPart is fold for the elements of one register.
func foldPart(v lanesPart, op func(a, b, dst Op)) reg.VecVirtual {
	if wide {
		y := YMM()
		VEXTRACTF64X4(U8(1), v, y)
		op(y, v.AsY(), y)
		v = y
	}
	x, t := XMM(), XMM()
	upper(v, x)
	op(v.AsX(), x, x)
	VPSHUFD(U8(0x4e), x, t)
	op(t, x, x)
	VPSHUFD(U8(0xb1), x, t)
	op(t, x, x)
	return x
}

// addInts adds int32 lanes, for fold.
func addInts(a, b, dst Op) { VPADDD(a, b, dst) }

// absMaxBits returns the largest magnitude's bits; NaN orders above infinity.
func absMaxBits() {
	function("AbsMaxBits", "func(x *float32, blocks uintptr) uint32", "AbsMaxBits returns the largest bit pattern of |x|; NaN orders above infinity.")
	x := arg("x")
	acc := newLanes().zero()
	mask := constant(0x7fffffff)[0]
	part := bytesPerPart()
	loop("blocks", arg("blocks"), func() {
		for i := range acc {
			v := vreg()
			if wide {
				VPANDD(Mem{Base: x, Disp: part * i}, mask, v)
			} else {
				VPAND(Mem{Base: x, Disp: part * i}, mask, v)
			}
			VPMAXUD(v, acc[i], acc[i])
		}
		ADDQ(Imm(64), x)
	})
	r := GP32()
	VMOVD(acc.fold(func(a, b, dst Op) { VPMAXUD(a, b, dst) }), r)
	Store(r, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// maxF32 returns the largest value of x, ignoring NaN as quantkern.Softmax does.
func maxF32() {
	function("Max", "func(x *float32, blocks uintptr) float32", "Max returns the largest value, NaN ignored; -Inf for none.")
	x := arg("x")
	acc := newLanes()
	inf := constant(0xff800000)
	for i := range acc {
		VMOVAPS(inf[i], acc[i])
	}
	part := bytesPerPart()
	loop("blocks", arg("blocks"), func() {
		for i := range acc {
			// The accumulator is the second source, returned when x is a NaN.
			v := vreg()
			VMOVUPS(Mem{Base: x, Disp: part * i}, v)
			VMAXPS(acc[i], v, acc[i])
		}
		ADDQ(Imm(64), x)
	})
	Store(acc.fold(func(a, b, dst Op) { VMAXPS(a, b, dst) }), ReturnIndex(0))
	VZEROUPPER()
	RET()
}
