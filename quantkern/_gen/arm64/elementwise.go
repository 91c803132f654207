package main

import (
	"slices"
	"strings"
)

// elementwise emits dst[j] = fn(operands at j) over blocks of 16 values; fn
// leaves its result in the first operand. scalars are parameters after blocks;
// they and the constants of exp stay in registers.
func (f *file) elementwise(name, doc, operands, scalar string, useExp bool, fn func(k *kernel, in []vreg, s vreg, c expConsts)) {
	names := strings.Fields(operands)
	params := []string{"dst *float32"}
	for _, n := range names {
		if n != "dst" {
			params = append(params, n+" *float32")
		}
	}
	params = append(params, "blocks uintptr")
	if scalar != "" {
		params = append(params, scalar+" float32")
	}
	f.kernel(name, doc, "", params, func(k *kernel) {
		dst := k.arg("dst")
		var ps []greg
		for _, n := range names {
			if n == "dst" {
				ps = append(ps, dst)
			} else {
				ps = append(ps, k.arg(n))
			}
		}
		var s vreg
		if scalar != "" {
			s = k.splat(scalar)
		}
		var c expConsts
		if useExp {
			c = k.expConsts()
		}
		k.loop(k.arg("blocks"), func() {
			in := k.vec(len(ps))
			for i := range 4 {
				for j, p := range ps {
					k.load(in[j], p, 16*i)
				}
				fn(k, in, s, c)
				k.store(in[0], dst, 16*i)
			}
			if !slices.Contains(ps, dst) {
				k.advance(64, dst)
			}
			k.advance(64, ps...)
		})
	})
}

func (f *file) elementwiseAll() {
	f.elementwise("Add", "is dst += x.", "dst x", "", false, func(k *kernel, in []vreg, _ vreg, _ expConsts) {
		k.word(fadd(in[0], in[0], in[1]))
	})
	f.elementwise("Scale", "is dst = x·f.", "x", "f", false, func(k *kernel, in []vreg, s vreg, _ expConsts) {
		k.word(fmul(in[0], in[0], s))
	})
	f.elementwise("ScaleMul", "is dst = (x·f)·w.", "x w", "f", false, func(k *kernel, in []vreg, s vreg, _ expConsts) {
		k.word(fmul(in[0], in[0], s), fmul(in[0], in[0], in[1]))
	})
	// fmax(-0, 0) is 0 and fmax(NaN, 0) a NaN.
	f.elementwise("ReLU2Mul", "is dst = relu(gate)²·up.", "gate up", "", false, func(k *kernel, in []vreg, _ vreg, _ expConsts) {
		k.scope(func() {
			z := k.vec1()
			k.zero(z)
			k.word(fmax(in[0], in[0], z), fmul(in[0], in[0], in[0]), fmul(in[0], in[0], in[1]))
		})
	})
	f.elementwise("SiLUMul", "is dst = gate/(1+exp(-gate))·up.", "gate up", "", true, func(k *kernel, in []vreg, _ vreg, c expConsts) {
		k.scope(func() {
			e := k.vec1()
			k.word(fneg(e, in[0]))
			k.exp(c, e)
			k.word(fadd(e, e, c.one), fdiv(in[0], in[0], e), fmul(in[0], in[0], in[1]))
		})
	})
}

// conversions emits those between float32 and half precision.
func (f *file) conversions() {
	f.kernel("ToF16", "rounds 16 values a block to half precision, to nearest even.", "", []string{"dst *uint16", "x *float32", "blocks uintptr"}, func(k *kernel) {
		dst, x := k.arg("dst"), k.arg("x")
		k.loop(k.arg("blocks"), func() {
			v := k.vec(2)
			for half := range 2 {
				k.load8("float32", x, 32*half, v[0], v[1])
				k.word(fcvtn(v[0], v[0]), fcvtn2(v[0], v[1]))
				k.store(v[0], dst, 16*half)
			}
			k.advance(64, x)
			k.advance(32, dst)
		})
	})
	f.kernel("FromF16", "widens 16 half-precision values a block.", "", []string{"dst *float32", "x *uint16", "blocks uintptr"}, func(k *kernel) {
		dst, x := k.arg("dst"), k.arg("x")
		k.loop(k.arg("blocks"), func() {
			v := k.vec(2)
			for half := range 2 {
				k.load8("uint16", x, 16*half, v[0], v[1])
				k.store8(dst, 32*half, v[0], v[1])
			}
			k.advance(32, x)
			k.advance(64, dst)
		})
	})
}

// extremes emits the reductions by comparison.
func (f *file) extremes() {
	params := []string{"x *float32", "blocks uintptr"}
	f.kernel("AbsMaxBits", "returns the largest bit pattern of |x|; NaN orders above infinity.", "uint32", params, func(k *kernel) {
		x, mask, acc := k.arg("x"), k.constant(0x7fffffff), k.vec(4)
		k.zero(acc...)
		k.loop(k.arg("blocks"), func() {
			v := k.vec1()
			for i, a := range acc {
				k.load(v, x, 16*i)
				k.op("VAND %v.B16, %v.B16, %v.B16", mask, v, v)
				k.op("VUMAX %v.S4, %v.S4, %v.S4", v, a, a)
			}
			k.advance(64, x)
		})
		for _, a := range acc[1:] {
			k.op("VUMAX %v.S4, %v.S4, %v.S4", a, acc[0], acc[0])
		}
		k.word(foldUmax(acc[0], acc[0]))
		k.op("FMOVS F%d, %s", acc[0], k.at("ret"))
	})
	// A comparison, not fmaxnm: that one makes a quiet NaN of a signalling one,
	// which would then forget what the lane held before.
	f.kernel("Max", "returns the largest value, NaN ignored and never −0; -Inf for none.", "float32", params, func(k *kernel) {
		x, acc := k.arg("x"), k.vec(4)
		for i := range acc {
			k.scope(func() {
				inf := k.constant(0xff800000)
				k.op("VORR %v.B16, %v.B16, %v.B16", inf, inf, acc[i])
			})
		}
		k.loop(k.arg("blocks"), func() {
			v, above := k.vec1(), k.vec1()
			for i, a := range acc {
				k.load(v, x, 16*i)
				k.word(fcmgt(above, v, a))
				k.op("VBIT %v.B16, %v.B16, %v.B16", above, v, a)
			}
			k.advance(64, x)
		})
		for _, a := range acc[1:] {
			k.word(fmax(acc[0], acc[0], a))
		}
		z := acc[1]
		k.zero(z)
		k.word(foldFmax(acc[0], acc[0]), fadd(acc[0], acc[0], z))
		k.op("FMOVS F%d, %s", acc[0], k.at("ret"))
	})
}

// ropeNeoX emits the rotation of the pairs (i, i+half) of a head.
func (f *file) ropeNeoX() {
	f.kernel("RopeNeoX", "rotates the pairs (i, i+16·blocks) of a head.", "", []string{"x *float32", "cos *float32", "sin *float32", "blocks uintptr"}, func(k *kernel) {
		x, cos, sin, n, y := k.arg("x"), k.arg("cos"), k.arg("sin"), k.arg("blocks"), k.general()
		k.op("ADD %v<<6, %v, %v", n, x, y)
		k.loop(n, func() {
			v := k.vec(6)
			a, b, c, s, t, u := v[0], v[1], v[2], v[3], v[4], v[5]
			for i := range 4 {
				for j, p := range []greg{x, y, cos, sin} {
					k.load(v[j], p, 16*i)
				}
				k.word(
					fmul(t, a, c), fmul(u, b, s), fsub(t, t, u),
					fmul(a, a, s), fmul(b, b, c), fadd(a, a, b))
				k.store(t, x, 16*i)
				k.store(a, y, 16*i)
			}
			k.advance(64, x, y, cos, sin)
		})
	})
}
