package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func bitsOf(f float32) uint32 { return math.Float32bits(f) }

// The constants of quantkern.Exp.
var (
	expPoly = []float32{0x1.a12652p-13, 0x1.6d44b2p-10, 0x1.1110e0p-7, 0x1.5554e8p-5, 0x1.555556p-3, 0.5}
	log2e   = float32(math.Log2E)
	ln2Hi   = float32(355.0 / 512)
	ln2Lo   = float32(math.Ln2 - 355.0/512)
)

const (
	roundMagic = 0x4b400000 // bits of 1.5·2^23
)

// expTable holds the constants of exp in memory, sixteen times each, so that
// they cost no registers.
func expTable() Mem {
	t := GLOBL("expconst", RODATA|NOPTR)
	off := 0
	put := func(bits uint32) {
		for range 16 {
			DATA(off, U32(bits))
			off += 4
		}
	}
	put(bitsOf(-104))
	put(bitsOf(89))
	put(bitsOf(log2e))
	put(roundMagic)
	put(bitsOf(ln2Hi))
	put(bitsOf(ln2Lo))
	for _, c := range expPoly {
		put(bitsOf(c))
	}
	put(bitsOf(1))
	put(127)
	put(0x80000000)
	return t
}

const (
	cLow = iota
	cHigh
	cLog2e
	cMagic
	cLn2Hi
	cLn2Lo
	cPoly5
	cPoly4
	cPoly3
	cPoly2
	cPoly1
	cPoly0
	cOne
	cBias
	cSign
)

// expReg replaces x by e^x, step by step as quantkern.Exp does.
func expReg(c Mem, x reg.VecVirtual) {
	at := func(i int) Mem { return c.Offset(64 * i) }
	n, k, r, p, t := vreg(), vreg(), vreg(), vreg(), vreg()
	// The value is the second source, which both instructions return when
	// it is a NaN.
	lo := vreg()
	VMOVUPS(at(cLow), lo)
	VMAXPS(x, lo, x)
	VMOVUPS(at(cHigh), lo)
	VMINPS(x, lo, x)
	VMULPS(at(cLog2e), x, t)
	VADDPS(at(cMagic), t, t)
	VPSUBD(at(cMagic), t, k)
	VSUBPS(at(cMagic), t, n)
	VMULPS(at(cLn2Hi), n, t)
	VSUBPS(t, x, r)
	VMULPS(at(cLn2Lo), n, t)
	VSUBPS(t, r, r)
	VMULPS(at(cPoly5), r, p)
	VADDPS(at(cPoly4), p, p)
	for _, i := range []int{cPoly3, cPoly2, cPoly1, cPoly0} {
		VMULPS(r, p, p)
		VADDPS(at(i), p, p)
	}
	VMULPS(r, r, t)
	VMULPS(p, t, t)
	VADDPS(t, r, r)
	VADDPS(at(cOne), r, r)
	VPSRAD(U8(1), k, n)
	VPSUBD(n, k, k)
	VPADDD(at(cBias), n, n)
	VPADDD(at(cBias), k, k)
	VPSLLD(U8(23), n, n)
	VPSLLD(U8(23), k, k)
	VMULPS(n, r, r)
	VMULPS(k, r, x)
}
