package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// scores emits the products of 4 queries with keys that lie one after the other, four
// at a time, in AVX-512:
//
//	dst[i*ldd + r] = Σ k[r]·q[i], blocks*16 values each, r < 4*groups, ldd and ldq in bytes
func scores(elem, suffix string) {
	const queries, keys = 4, 4
	name := "Scores" + suffix
	function(name, "func(dst *float32, ldd uintptr, k *"+elem+", q *float32, ldq, blocks, groups, ahead uintptr)",
		fmt.Sprintf("%s multiplies 4 queries with 4 keys of %s a group and fetches what lies ahead of these.", name, elem))
	size := map[string]int{"float32": 4, "uint16": 2}[elem]
	dst := newRowsAt(arg("dst"), arg("ldd"), queries)
	base, stride := arg("k"), GP64()
	MOVQ(argMem("blocks"), stride)
	SHLQ(U8(map[string]uint8{"float32": 6, "uint16": 5}[elem]), stride)
	q := newRowsAt(arg("q"), arg("ldq"), queries)
	// The queries begin anew with each group, the keys go on.
	back := GP64()
	MOVQ(argMem("blocks"), back)
	SHLQ(U8(6), back)
	k, ahead := newRowsAt(base, stride, keys), arg("ahead")
	loop("groups", arg("groups"), func() {
		var acc [keys][queries]reg.VecVirtual
		for r := range acc {
			for i := range acc[r] {
				acc[r][i] = ZMM()
				zeroReg(acc[r][i])
			}
		}
		count := GP64()
		MOVQ(argMem("blocks"), count)
		loop("blocks", count, func() {
			var kv [keys]reg.VecVirtual
			for r := range kv {
				fetchAhead(k.row(r, 0), ahead)
				kv[r] = ZMM()
				if size == 2 {
					VCVTPH2PS(k.row(r, 0), kv[r])
				} else {
					VMOVUPS(k.row(r, 0), kv[r])
				}
			}
			x, t := ZMM(), ZMM()
			for i := range queries {
				VMOVUPS(q.row(i, 0), x)
				for r := range kv {
					VMULPS(x, kv[r], t)
					VADDPS(t, acc[r][i], acc[r][i])
				}
			}
			k.advance(16 * size)
			q.advance(64)
		})
		for _, b := range q.bases {
			SUBQ(back, b)
		}
		for _, b := range k.bases {
			LEAQ(Mem{Base: b, Index: stride, Scale: 2}, b)
			ADDQ(stride, b)
		}
		var sums [keys]reg.VecVirtual
		for r := range sums {
			sums[r] = fold4x4(acc[r])
		}
		all := transposed(sums)
		VMOVUPS(all.AsX(), dst.row(0, 0))
		for i := 1; i < queries; i++ {
			VEXTRACTF32X4(U8(uint8(i)), all, dst.row(i, 0))
		}
		dst.advance(4 * keys)
	})
	VZEROUPPER()
	RET()
}

// fold4x4 folds four registers of sixteen lanes to four lanes each, as
// lanes.fold4 does; those of register i are the i-th 128 bits of the result.
func fold4x4(l [4]reg.VecVirtual) reg.VecVirtual {
	half := func(a, b reg.VecVirtual) reg.VecVirtual {
		lo := ZMM()
		VSHUFF64X2(U8(0x44), b, a, lo) // the lower halves of a and b
		VSHUFF64X2(U8(0xee), b, a, a)
		VADDPS(a, lo, lo)
		return lo
	}
	a, b := half(l[0], l[1]), half(l[2], l[3])
	even := ZMM()
	VSHUFF64X2(U8(0x88), b, a, even)
	VSHUFF64X2(U8(0xdd), b, a, a)
	VADDPS(a, even, even)
	return even
}

// transposed folds the four lanes in each 128 bits of four registers to one;
// that of register r is element r of these 128 bits of the result.
func transposed(l [4]reg.VecVirtual) reg.VecVirtual {
	pair := func(a, b reg.VecVirtual) reg.VecVirtual {
		lo := ZMM()
		VUNPCKLPD(b, a, lo)
		VUNPCKHPD(b, a, a)
		VADDPS(a, lo, lo)
		return lo
	}
	a, b := pair(l[0], l[1]), pair(l[2], l[3])
	even := ZMM()
	VSHUFPS(U8(0x88), b, a, even)
	VSHUFPS(U8(0xdd), b, a, a)
	VADDPS(a, even, even)
	return even
}

// weightedRows is weighted for eight rows of weights that share float32 values,
// two vectors of them, in AVX-512:
//
//	dst[h*ldd + j] += p[h*ldp + i] · v[i*ldv + j], strides in bytes
func weightedRows() {
	const rows, vectors = 8, 2
	function("WeightedF32h8", "func(dst *float32, ldd uintptr, v *float32, ldv uintptr, p *float32, ldp uintptr, n uintptr)",
		"WeightedF32h8 adds n rows of 32 values to each of 8 rows of dst, with weights of their own.")
	v, ldv := arg("v"), arg("ldv")
	var acc [rows][vectors]reg.VecVirtual
	each := func(f func(m Mem, r reg.VecVirtual)) {
		dst := newRowsAt(arg("dst"), arg("ldd"), rows)
		for h := range acc {
			for j := range acc[h] {
				f(dst.row(h, 64*j), acc[h][j])
			}
		}
	}
	for h := range acc {
		for j := range acc[h] {
			acc[h][j] = ZMM()
		}
	}
	each(func(m Mem, r reg.VecVirtual) { VMOVUPS(m, r) })
	p := newRowsAt(arg("p"), arg("ldp"), rows)
	loop("rows", arg("n"), func() {
		var x [vectors]reg.VecVirtual
		for j := range x {
			x[j] = ZMM()
			VMOVUPS(Mem{Base: v, Disp: 64 * j}, x[j])
		}
		f, t := ZMM(), ZMM()
		for h := range acc {
			VBROADCASTSS(p.row(h, 0), f)
			for j := range acc[h] {
				VMULPS(f, x[j], t)
				VADDPS(t, acc[h][j], acc[h][j])
			}
		}
		ADDQ(ldv, v)
		p.advance(4)
	})
	each(func(m Mem, r reg.VecVirtual) { VMOVUPS(r, m) })
	VZEROUPPER()
	RET()
}
