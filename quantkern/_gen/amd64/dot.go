package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dotTile multiplies rows (1 or 4) weight rows with n activation rows:
//
//	dst[i*ldd + r] = Σ w[r]·x[i], blocks*16 values each, strides in bytes
func dotTile(name, elem string, rows, n int) {
	function(name, "func(dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx uintptr, blocks uintptr)", fmt.Sprintf("%s multiplies %d rows of %s with %d rows of activations.", name, rows, elem, n))
	w := newRowsAt(arg("w"), arg("ldw"), rows)
	x := newRowsAt(arg("x"), arg("ldx"), n)
	size := map[string]int{"float32": 4, "uint16": 2}[elem]
	acc := make([][]lanes, n)
	for i := range acc {
		acc[i] = make([]lanes, rows)
		for r := range acc[i] {
			acc[i][r] = newLanes().zero()
		}
	}
	part := bytesPerPart()
	// The rows after these are the next call's: fetch them, row by row the
	// same place.
	var next rowsAt
	if rows == 4 {
		base := GP64()
		LEAQ(Mem{Base: w.bases[0], Index: w.stride, Scale: 4}, base)
		next = newRowsAt(base, w.stride, rows)
	}
	loop("blocks", arg("blocks"), func() {
		if rows == 4 {
			for r := range rows {
				PREFETCHT0(next.row(r, 0))
			}
			next.advance(16 * size)
		}
		for p := range acc[0][0] {
			off := part / 4 * p // elements
			wv := make([]lanesPart, rows)
			if n > 1 {
				for r := range wv {
					v := vreg()
					if elem == "uint16" {
						VCVTPH2PS(w.row(r, off*size), v)
					} else {
						VMOVUPS(w.row(r, off*size), v)
					}
					wv[r] = v
				}
			}
			for i := range acc {
				var xv lanesPart
				if n == 1 || rows > 1 {
					v := vreg()
					VMOVUPS(x.row(i, off*4), v)
					xv = v
				}
				t := vreg()
				for r := range acc[i] {
					switch {
					case n > 1:
						VMULPS(xv, wv[r], t)
					case elem == "uint16":
						VCVTPH2PS(w.row(r, off*size), t)
						VMULPS(xv, t, t)
					default:
						VMULPS(w.row(r, off*size), xv, t)
					}
					VADDPS(t, acc[i][r][p], acc[i][r][p])
				}
			}
		}
		w.advance(16 * size)
		x.advance(64)
	})
	dst, ldd := arg("dst"), arg("ldd")
	for i := range acc {
		if rows == 4 {
			VMOVUPS(sum4(acc[i][0], acc[i][1], acc[i][2], acc[i][3]), Mem{Base: dst})
		} else {
			VMOVSS(acc[i][0].sum(), Mem{Base: dst})
		}
		if i+1 < n {
			ADDQ(ldd, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// weighted adds n rows of values to an accumulator, in ascending order:
//
//	dst[j] += p[i] · v[i*ldv + j], for blocks*16 values j, ldv in bytes
func weighted(name, elem string, vectors int) {
	function(name, "func(dst *float32, v *"+elem+", ldv uintptr, p *float32, n uintptr)", fmt.Sprintf("%s adds n weighted rows of %d values of %s to dst.", name, 16*vectors, elem))
	dst, v, ldv, p := arg("dst"), arg("v"), arg("ldv"), arg("p")
	size := map[string]int{"float32": 4, "uint16": 2}[elem]
	acc := make([]lanes, vectors)
	for j := range acc {
		acc[j] = newLanes().loadF32(Mem{Base: dst, Disp: 64 * j})
	}
	part := bytesPerPart()
	loop("rows", arg("n"), func() {
		f := vreg()
		VBROADCASTSS(Mem{Base: p}, f)
		for j := range acc {
			for i := range acc[j] {
				t := vreg()
				m := Mem{Base: v, Disp: (16*j + part/4*i) * size}
				if elem == "uint16" {
					VCVTPH2PS(m, t)
					VMULPS(f, t, t)
				} else {
					VMULPS(m, f, t)
				}
				VADDPS(t, acc[j][i], acc[j][i])
			}
		}
		ADDQ(ldv, v)
		ADDQ(Imm(4), p)
	})
	for j := range acc {
		acc[j].store(Mem{Base: dst, Disp: 64 * j})
	}
	VZEROUPPER()
	RET()
}

// weightedHeads is weighted for four heads that share half-precision values,
// each converted once, two vectors of them:
//
//	dst[h*ldd + j] += p[h*ldp + i] · v[i*ldv + j], strides in bytes
func weightedHeads() {
	const heads, vectors = 4, 2
	function("WeightedF16h4", "func(dst *float32, ldd uintptr, v *uint16, ldv uintptr, p *float32, ldp uintptr, n, ahead uintptr)",
		"WeightedF16h4 adds n rows of 32 values of uint16 to dst, weighted for each of 4 heads, and fetches what lies ahead of them.")
	ahead := arg("ahead")
	dst := newRowsAt(arg("dst"), arg("ldd"), heads)
	v, ldv := arg("v"), arg("ldv")
	p := newRowsAt(arg("p"), arg("ldp"), heads)
	var acc [heads][vectors]reg.VecVirtual
	for h := range acc {
		for j := range acc[h] {
			acc[h][j] = ZMM()
			VMOVUPS(dst.row(h, 64*j), acc[h][j])
		}
	}
	loop("rows", arg("n"), func() {
		fetchAhead(Mem{Base: v}, ahead)
		var x [vectors]reg.VecVirtual
		for j := range x {
			x[j] = ZMM()
			VCVTPH2PS(Mem{Base: v, Disp: 32 * j}, x[j])
		}
		t := ZMM()
		for h := range acc {
			for j := range acc[h] {
				VMULPS_BCST(p.row(h, 0), x[j], t)
				VADDPS(t, acc[h][j], acc[h][j])
			}
		}
		ADDQ(ldv, v)
		p.advance(4)
	})
	for h := range acc {
		for j := range acc[h] {
			VMOVUPS(acc[h][j], dst.row(h, 64*j))
		}
	}
	VZEROUPPER()
	RET()
}

// fetch asks for lines of memory that a product will read next.
func fetch() {
	function("Fetch", "func(p *byte, lines uintptr)", "Fetch fetches so many lines of 64 bytes to the first cache.")
	p := arg("p")
	loop("lines", arg("lines"), func() {
		PREFETCHT0(Mem{Base: p})
		ADDQ(I32(64), p)
	})
	RET()
}
