package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// screenTile emits the upper bounds of a group of 4 rows of 8-bit codes, 64 of
// each row in turn, with n rows of 16-bit activations:
//
//	dst[i*ldd + r] = float32(Σ q[r]·y[i])·coefs[r] + (coefs[4+r]·widths[2i] + coefs[8+r]·widths[2i+1])
//
// Codes are widened and multiplied in pairs, which no sum overflows as long as
// Σ|y| is bounded.
func screenTile(n int) {
	const rows, chunk = 4, 64
	name := fmt.Sprintf("Screenx%d", n)
	function(name, "func(dst *float32, ldd uintptr, codes *int8, y *int16, ldy uintptr, chunks uintptr, coefs, widths *float32)",
		fmt.Sprintf("%s bounds the products of 4 rows of 8-bit codes with %d rows of activations.", name, n))
	codes := arg("codes")
	y := newRowsAt(arg("y"), arg("ldy"), n)
	acc := make([][]reg.VecVirtual, n)
	for i := range acc {
		acc[i] = make([]reg.VecVirtual, rows)
		for r := range acc[i] {
			acc[i][r] = vreg()
			zeroReg(acc[i][r])
		}
	}
	fetch := PREFETCHT0
	if wide && n == 1 {
		fetch = PREFETCHNTA // see ternaryStream
	}
	values := bytesPerPart() / 2 // of a register
	loop("chunks", arg("chunks"), func() {
		for r := range rows {
			fetch(Mem{Base: codes, Disp: 4096 + chunk*r})
		}
		for off := 0; off < chunk; off += values {
			yv := make([]reg.VecVirtual, n)
			for i := range yv {
				yv[i] = vreg()
				if wide {
					VMOVDQU32(y.row(i, 2*off), yv[i])
				} else {
					VMOVDQU(y.row(i, 2*off), yv[i])
				}
			}
			for r := range rows {
				q := vreg()
				VPMOVSXBW(Mem{Base: codes, Disp: chunk*r + off}, q)
				for i := range acc {
					if wide {
						VPDPWSSD(yv[i], q, acc[i][r])
						continue
					}
					t := vreg()
					VPMADDWD(yv[i], q, t)
					VPADDD(t, acc[i][r], acc[i][r])
				}
			}
		}
		ADDQ(I32(rows*chunk), codes)
		y.advance(2 * chunk)
	})
	b := newBounds()
	for i := range acc {
		b.put(i, sumInts(acc[i]), i+1 == n)
	}
	VZEROUPPER()
	RET()
}

// bounds turns the dots of a group with activation row i into upper bounds.
type bounds struct{ dst, ldd, coefs, widths reg.Register }

func newBounds() bounds { return bounds{arg("dst"), arg("ldd"), arg("coefs"), arg("widths")} }

func (b bounds) put(i int, dots reg.VecVirtual, last bool) {
	e, t := XMM(), XMM()
	VCVTDQ2PS(dots, dots)
	VMULPS(Mem{Base: b.coefs}, dots, dots)
	VBROADCASTSS(Mem{Base: b.widths, Disp: 8 * i}, e)
	VMULPS(Mem{Base: b.coefs, Disp: 16}, e, e)
	VBROADCASTSS(Mem{Base: b.widths, Disp: 8*i + 4}, t)
	VMULPS(Mem{Base: b.coefs, Disp: 32}, t, t)
	VADDPS(t, e, e)
	VADDPS(e, dots, dots)
	VMOVUPS(dots, Mem{Base: b.dst})
	if !last {
		ADDQ(b.ldd, b.dst)
	}
}

// coarseTile emits screenTile for activations of 8 bits, in AVX-512: VPDPBUSD
// takes the codes with their sign bits flipped, 128 more than they are, as the
// unsigned operand; sums[i] is 128·Σy[i]. With each chunk four lines from next on
// are fetched to the second cache, or past it to the first (near), and next grows
// by step.
func coarseTile(n int, near bool) {
	const rows, chunk = 4, 64
	name, fetch := fmt.Sprintf("Coarsex%d", n), PREFETCHT1
	if near {
		name, fetch = fmt.Sprintf("CoarseNearx%d", n), PREFETCHNTA
	}
	function(name, "func(dst *float32, ldd uintptr, codes, y *int8, ldy, chunks uintptr, next *int8, step uintptr, sums *int32, coefs, widths *float32)",
		fmt.Sprintf("%s bounds the products of 4 rows of 8-bit codes with %d rows of 8-bit activations.", name, n))
	codes, next, step := arg("codes"), arg("next"), arg("step")
	y := newRowsAt(arg("y"), arg("ldy"), n)
	sign := constant(0x80808080)[0]
	acc := make([][rows]reg.VecVirtual, n)
	for i := range acc {
		for r := range acc[i] {
			acc[i][r] = ZMM()
			zeroReg(acc[i][r])
		}
	}
	loop("chunks", arg("chunks"), func() {
		var u [rows]reg.VecVirtual
		for r := range u {
			fetch(Mem{Base: next, Disp: chunk * r})
			u[r] = ZMM()
			VPXORD(Mem{Base: codes, Disp: chunk * r}, sign, u[r])
		}
		v := ZMM()
		for i := range acc {
			VMOVDQU32(y.row(i, 0), v)
			for r := range u {
				VPDPBUSD(v, u[r], acc[i][r])
			}
		}
		ADDQ(I32(rows*chunk), codes)
		ADDQ(step, next)
		y.advance(chunk)
	})
	b, sums := newBounds(), arg("sums")
	for i := range acc {
		dots := sumInts(acc[i][:])
		t := XMM()
		VPBROADCASTD(Mem{Base: sums, Disp: 4 * i}, t)
		VPSUBD(t, dots, dots)
		b.put(i, dots, i+1 == n)
	}
	VZEROUPPER()
	RET()
}

// screenCodes emits the rounding of a row to codes, 64 values a chunk and 256
// bytes to the next: q = round(w·inverse), and the sums of the float32 squares
// of the differences w − scale·q, in float64 lanes, and of q².
func screenCodes() {
	const chunk, step = 64, 256
	var order Mem
	if !wide {
		order = GLOBL("codeorder", RODATA|NOPTR)
		for i, v := range []uint32{0, 4, 1, 5, 0, 4, 1, 5} {
			DATA(4*i, U32(v))
		}
	}
	function("ScreenCodes", "func(codes *int8, w *float32, chunks uintptr, scale, inverse float32) (miss float64, norm int32)",
		"ScreenCodes rounds a row to codes and returns Σ(w−scale·q)² and Σq².")
	codes, w := arg("codes"), arg("w")
	scale, inverse, magic := vreg(), vreg(), constant(roundMagic)[0]
	VBROADCASTSS(argMem("scale"), scale)
	VBROADCASTSS(argMem("inverse"), inverse)
	miss, norm := newSums(), vreg()
	zeroReg(norm)
	part := bytesPerPart()
	loop("chunks", arg("chunks"), func() {
		for off := 0; off < chunk; off += 16 {
			q := make([]reg.VecVirtual, 64/part)
			for i := range q {
				v, d := vreg(), vreg()
				q[i] = vreg()
				VMOVUPS(Mem{Base: w, Disp: 4*off + part*i}, v)
				VMULPS(inverse, v, q[i])
				VADDPS(magic, q[i], q[i])
				VPSUBD(magic, q[i], q[i])
				VCVTDQ2PS(q[i], d)
				VMULPS(scale, d, d)
				VSUBPS(d, v, d)
				VMULPS(d, d, d)
				miss.add(i, d)
				VPMULLD(q[i], q[i], v)
				VPADDD(v, norm, norm)
			}
			if wide {
				VPMOVDB(q[0], Mem{Base: codes, Disp: off})
				continue
			}
			VPACKSSDW(q[1], q[0], q[0]) // 0-3 8-11 | 4-7 12-15
			VPACKSSWB(q[0], q[0], q[0]) // each half twice
			perm := YMM()
			VMOVDQU(order, perm)
			VPERMD(q[0], perm, q[0])
			VMOVDQU(q[0].AsX(), Mem{Base: codes, Disp: off})
		}
		ADDQ(I32(step), codes)
		ADDQ(I32(4*chunk), w)
	})
	Store(miss.total(), ReturnIndex(0))
	r := GP32()
	VMOVD(foldPart(norm, addInts), r)
	Store(r, ReturnIndex(1))
	VZEROUPPER()
	RET()
}

// sumInts folds four registers of int32 to one of their four sums.
func sumInts(c []reg.VecVirtual) reg.VecVirtual {
	x := XMM()
	if !wide {
		VPHADDD(c[1], c[0], c[0])
		VPHADDD(c[3], c[2], c[2])
		VPHADDD(c[2], c[0], c[0])
		VEXTRACTI128(U8(1), c[0], x)
		VPADDD(c[0].AsX(), x, x)
		return x
	}
	lo := foldQuads(c)
	y := YMM()
	VEXTRACTI64X4(U8(1), lo, y)
	VPADDD(y, lo.AsY(), y)
	upper(y, x)
	VPADDD(y.AsX(), x, x)
	return x
}
