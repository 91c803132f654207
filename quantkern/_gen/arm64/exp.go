package main

import (
	"fmt"
	"math"
)

const roundMagic = 0x4b400000 // bits of 1.5·2^23

// expBits are the constants of quantkern.Exp, in the order of expConsts.
var expBits = func() (bits []uint32) {
	for _, c := range []float32{
		-104, 89, math.Log2E, 355.0 / 512, math.Ln2 - 355.0/512, 1,
		0x1.a12652p-13, 0x1.6d44b2p-10, 0x1.1110e0p-7, 0x1.5554e8p-5, 0x1.555556p-3, 0.5,
	} {
		bits = append(bits, math.Float32bits(c))
	}
	return append(bits, roundMagic, 127)
}()

// expConsts are the registers that hold them while a kernel runs.
type expConsts struct {
	low, high, log2e, ln2Hi, ln2Lo, one vreg
	poly                                []vreg // from the highest power down
	magic, bias                         vreg
}

// expTable writes the constants as data.
func (f *file) expTable() {
	fmt.Fprintln(&f.asm)
	for i, b := range expBits {
		fmt.Fprintf(&f.asm, "DATA expconst<>+%d(SB)/4, $0x%08x\n", 4*i, b)
	}
	fmt.Fprintf(&f.asm, "GLOBL expconst<>(SB), RODATA|NOPTR, $%d\n", 4*len(expBits))
}

func (k *kernel) expConsts() expConsts {
	v := k.vec(len(expBits))
	k.scope(func() {
		p := k.general()
		k.op("MOVD $expconst<>(SB), %v", p)
		for _, r := range v {
			k.op("VLD1R.P 4(%v), [%v.S4]", p, r)
		}
	})
	return expConsts{v[0], v[1], v[2], v[3], v[4], v[5], v[6:12], v[12], v[13]}
}

// exp replaces x by e^x, step by step as quantkern.Exp does. A NaN passes
// through fmax and fmin, unlike through fmaxnm, and through all that follows.
func (k *kernel) exp(c expConsts, x vreg) {
	k.scope(func() {
		v := k.vec(4)
		n, e, p, t := v[0], v[1], v[2], v[3]
		k.word(fmax(x, x, c.low), fmin(x, x, c.high), fmul(t, x, c.log2e), fadd(t, t, c.magic))
		k.op("VSUB %v.S4, %v.S4, %v.S4", c.magic, t, e)
		k.word(
			fsub(n, t, c.magic), fmul(t, n, c.ln2Hi), fsub(x, x, t),
			fmul(t, n, c.ln2Lo), fsub(x, x, t),
			fmul(p, x, c.poly[0]), fadd(p, p, c.poly[1]))
		for _, a := range c.poly[2:] {
			k.word(fmul(p, p, x), fadd(p, p, a))
		}
		k.word(fmul(t, x, x), fmul(t, t, p), fadd(x, x, t), fadd(x, x, c.one), sshr(n, e, 1))
		k.op("VSUB %v.S4, %v.S4, %v.S4", n, e, e)
		for _, h := range []vreg{n, e} {
			k.op("VADD %v.S4, %v.S4, %v.S4", c.bias, h, h)
			k.op("VSHL $23, %v.S4, %v.S4", h, h)
			k.word(fmul(x, x, h))
		}
	})
}

// sums are sixteen float64 lanes in eight registers.
type sums []vreg

// add widens part i of sixteen float32 lanes and adds it. It destroys v.
func (k *kernel) addWide(s sums, i int, v vreg) {
	k.scope(func() {
		t := k.vec1()
		k.word(fcvtld(t, v), faddd(s[2*i], s[2*i], t), fcvtld2(v, v), faddd(s[2*i+1], s[2*i+1], v))
	})
}

// total folds the lanes as l+8, l+4, l+2, l+1 and returns the sum.
func (k *kernel) total(s sums) {
	for w := len(s) / 2; w > 0; w /= 2 {
		for i := range w {
			k.word(faddd(s[i], s[i], s[i+w]))
		}
	}
	k.word(foldFaddD(s[0], s[0]))
	k.op("FMOVD F%d, %s", s[0], k.at("ret"))
}

// expSum emits x[i] = exp(x[i]-max) and the sum of the results.
func (f *file) expSum() {
	params := []string{"x *float32", "blocks uintptr", "max float32"}
	f.kernel("ExpSum", "replaces x by exp(x-max), 16 values a block, and returns their sum in float64 lanes.", "float64", params, func(k *kernel) {
		x, m, s := k.arg("x"), k.splat("max"), sums(k.vec(8))
		k.zero(s...)
		c := k.expConsts()
		k.loop(k.arg("blocks"), func() {
			v := k.vec1()
			for i := range 4 {
				k.load(v, x, 16*i)
				k.word(fsub(v, v, m))
				k.exp(c, v)
				k.store(v, x, 16*i)
				k.addWide(s, i, v)
			}
			k.advance(64, x)
		})
		k.total(s)
	})
}

// sumSquares emits Σ x² with float32 squares in float64 lanes.
func (f *file) sumSquares() {
	f.kernel("SumSquares", "adds up the squares of 16 values a block in float64 lanes.", "float64", []string{"x *float32", "blocks uintptr"}, func(k *kernel) {
		x, s := k.arg("x"), sums(k.vec(8))
		k.zero(s...)
		k.loop(k.arg("blocks"), func() {
			v := k.vec1()
			for i := range 4 {
				k.load(v, x, 16*i)
				k.word(fmul(v, v, v))
				k.addWide(s, i, v)
			}
			k.advance(64, x)
		})
		k.total(s)
	})
}
