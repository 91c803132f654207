package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// elementwise emits dst[j] = f(operands at j) over blocks of 16 values.
func elementwise(name, signature, doc string, pointers []string, scalars []string, f func(in []reg.VecVirtual, scalar []reg.VecVirtual) reg.VecVirtual) {
	function(name, signature, doc)
	dst := arg("dst")
	var ps []reg.Register
	for _, p := range pointers {
		ps = append(ps, arg(p))
	}
	var ss []reg.VecVirtual
	for _, s := range scalars {
		v := vreg()
		VBROADCASTSS(argMem(s), v)
		ss = append(ss, v)
	}
	part := bytesPerPart()
	loop("blocks", arg("blocks"), func() {
		for i := range newLanes() {
			in := make([]reg.VecVirtual, len(ps))
			for j, p := range ps {
				in[j] = vreg()
				VMOVUPS(Mem{Base: p, Disp: part * i}, in[j])
			}
			VMOVUPS(f(in, ss), Mem{Base: dst, Disp: part * i})
		}
		ADDQ(Imm(64), dst)
		for _, p := range ps {
			ADDQ(Imm(64), p)
		}
	})
	VZEROUPPER()
	RET()
}

func elementwiseAll(c Mem) {
	elementwise("Add", "func(dst, x *float32, blocks uintptr)", "Add: dst += x.", []string{"x", "dst"}, nil,
		func(in, _ []reg.VecVirtual) reg.VecVirtual {
			VADDPS(in[0], in[1], in[1])
			return in[1]
		})
	elementwise("Scale", "func(dst, x *float32, blocks uintptr, f float32)", "Scale: dst = x·f.", []string{"x"}, []string{"f"},
		func(in, s []reg.VecVirtual) reg.VecVirtual {
			VMULPS(s[0], in[0], in[0])
			return in[0]
		})
	elementwise("ScaleMul", "func(dst, x, w *float32, blocks uintptr, f float32)", "ScaleMul: dst = (x·f)·w.", []string{"x", "w"}, []string{"f"},
		func(in, s []reg.VecVirtual) reg.VecVirtual {
			VMULPS(s[0], in[0], in[0])
			VMULPS(in[1], in[0], in[0])
			return in[0]
		})
	elementwise("ReLU2Mul", "func(dst, gate, up *float32, blocks uintptr)", "ReLU2Mul: dst = relu(gate)²·up.", []string{"gate", "up"}, nil,
		func(in, _ []reg.VecVirtual) reg.VecVirtual {
			z := vreg()
			zeroReg(z)
			VMAXPS(in[0], z, in[0])
			VMULPS(in[0], in[0], in[0])
			VMULPS(in[1], in[0], in[0])
			return in[0]
		})
	elementwise("SiLUMul", "func(dst, gate, up *float32, blocks uintptr)", "SiLUMul: dst = gate/(1+exp(-gate))·up.", []string{"gate", "up"}, nil,
		func(in, _ []reg.VecVirtual) reg.VecVirtual {
			e := vreg()
			xor(c.Offset(64*cSign), in[0], e)
			expReg(c, e)
			VADDPS(c.Offset(64*cOne), e, e)
			VDIVPS(e, in[0], in[0])
			VMULPS(in[1], in[0], in[0])
			return in[0]
		})
}

// xor is the bitwise exclusive or of either width.
func xor(m, a, dst Op) {
	if wide {
		VPXORD(m, a, dst)
	} else {
		VPXOR(m, a, dst)
	}
}

// toF16 rounds float32 to half precision, to nearest even.
func toF16() {
	function("ToF16", "func(dst *uint16, x *float32, blocks uintptr)", "ToF16 rounds 16 values a block to half precision, to nearest even.")
	dst, x := arg("dst"), arg("x")
	part := bytesPerPart()
	loop("blocks", arg("blocks"), func() {
		for i := range newLanes() {
			v := vreg()
			VMOVUPS(Mem{Base: x, Disp: part * i}, v)
			VCVTPS2PH(U8(0), v, Mem{Base: dst, Disp: part / 2 * i})
		}
		ADDQ(Imm(64), x)
		ADDQ(Imm(32), dst)
	})
	VZEROUPPER()
	RET()
}

// fromF16 widens half precision.
func fromF16() {
	function("FromF16", "func(dst *float32, x *uint16, blocks uintptr)", "FromF16 widens 16 half-precision values a block.")
	dst, x := arg("dst"), arg("x")
	loop("blocks", arg("blocks"), func() {
		newLanes().loadF16(Mem{Base: x}).store(Mem{Base: dst})
		ADDQ(Imm(32), x)
		ADDQ(Imm(64), dst)
	})
	VZEROUPPER()
	RET()
}

// ropeNeoX rotates the pairs (i, i+half) of a head.
func ropeNeoX() {
	function("RopeNeoX", "func(x, cos, sin *float32, blocks uintptr)", "RopeNeoX rotates the pairs (i, i+16·blocks) of a head.")
	x, cos, sin := arg("x"), arg("cos"), arg("sin")
	n, y := arg("blocks"), GP64()
	MOVQ(n, y)
	SHLQ(U8(6), y)
	ADDQ(x, y)
	part := bytesPerPart()
	loop("blocks", n, func() {
		for i := range newLanes() {
			at := func(p reg.Register) Mem { return Mem{Base: p, Disp: part * i} }
			a, b, c, s, t, u := vreg(), vreg(), vreg(), vreg(), vreg(), vreg()
			VMOVUPS(at(x), a)
			VMOVUPS(at(y), b)
			VMOVUPS(at(cos), c)
			VMOVUPS(at(sin), s)
			VMULPS(c, a, t)
			VMULPS(s, b, u)
			VSUBPS(u, t, t)
			VMULPS(s, a, a)
			VMULPS(c, b, b)
			VADDPS(b, a, a)
			VMOVUPS(t, at(x))
			VMOVUPS(a, at(y))
		}
		for _, p := range []reg.Register{x, y, cos, sin} {
			ADDQ(Imm(64), p)
		}
	})
	VZEROUPPER()
	RET()
}
