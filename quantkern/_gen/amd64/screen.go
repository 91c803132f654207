package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	screenRows = 4
	chunkSix   = 192 // bytes of a chunk of a group: six bits of each code
	chunkLow   = 64  // the two below
)

// planes unpacks codes (see quantkern's putPlanes). With AVX-512 a register has a row's
// codes of a chunk, as bytes, the bits that are not read zero.
type planes struct {
	bits            int
	six, low        reg.Register
	topTwo, topFour Mem // one word each: there are no registers for them
	topSix          reg.VecVirtual
}

func newPlanes(bits int) planes { return planesAt(bits, arg("six"), arg("low"), GP32()) }

// planesAt is newPlanes of planes that lie elsewhere; t is changed.
func planesAt(bits int, six, low, t reg.Register) planes {
	return planes{bits, six, low, global("toptwo", 4, 0xc0c0c0c0), global("topfour", 4, 0xf0f0f0f0), constantVia(t, 0xfcfcfcfc)}
}

// choose is VPTERNLOGD's table for a where the mask is set and b elsewhere, of mask, b, a.
const choose = U8(0xe4)

// load gives the bytes of the first three rows, and below the top six bits of the last one's
// what is not to be used.
func (p planes) load() (u [screenRows]reg.VecVirtual) {
	for r := range 3 {
		u[r] = ZMM()
		VMOVDQU32(Mem{Base: p.six, Disp: 64 * r}, u[r])
	}
	u[3] = ZMM()
	t := ZMM()
	VPSLLD(U8(6), u[0], u[3])
	VPSLLD(U8(4), u[1], t)
	VPTERNLOGD_BCST(choose, p.topTwo, t, u[3])
	VPSLLD(U8(2), u[2], t)
	VPTERNLOGD_BCST(choose, p.topFour, t, u[3])
	return u
}

// lower puts the two lower bits of row r, if they are read, where load has others.
func (p planes) lower(r int, low, u reg.VecVirtual) {
	switch {
	case p.bits == 6:
		VPANDD(p.topSix, u, u)
	case r == 0:
		VPTERNLOGD(choose, p.topSix, low, u)
	default:
		t := ZMM()
		VPSRLD(U8(2*r), low, t)
		VPTERNLOGD(choose, p.topSix, t, u)
	}
}

// loadLow gives the plane of lower bits, if they are read.
func (p planes) loadLow() reg.VecVirtual {
	if p.bits == 6 {
		return nil
	}
	low := ZMM()
	VMOVDQU32(Mem{Base: p.low}, low)
	return low
}

func (p planes) unpack() [screenRows]reg.VecVirtual {
	u, low := p.load(), p.loadLow()
	for r := range u {
		p.lower(r, low, u[r])
	}
	return u
}

// fetch fetches the lines of a chunk.
func (p planes) fetch(with func(Op), six, low Mem) {
	for line := range chunkSix / 64 {
		with(six.Offset(64 * line))
	}
	if p.bits == 8 {
		with(low)
	}
}

func (p planes) advance() {
	ADDQ(I32(chunkSix), p.six)
	if p.bits == 8 {
		ADDQ(I32(chunkLow), p.low)
	}
}

// dots4 are the sums of products with n activation rows.
func dots4(n int) [][]reg.VecVirtual {
	acc := make([][]reg.VecVirtual, n)
	for i := range acc {
		acc[i] = make([]reg.VecVirtual, screenRows)
		for r := range acc[i] {
			acc[i][r] = vreg()
			zeroReg(acc[i][r])
		}
	}
	return acc
}

// screenTile emits, in AVX-512, the upper bounds of a group of 4 rows with n rows of
// activations of 16 bits, of which 32 of even places come before 32 of odd ones:
//
//	dst[i*ldd + r] = float32(Σ v[r]·y[i])·coefs[r] + (coefs[4+r]·widths[2i] + coefs[8+r]·widths[2i+1])
//
// Codes are multiplied as they are stored, 128 above what they mean: bases[i] is what
// is too much. Sums go modulo 2^32, the result does not exceed it.
func screenTile(n, bits int, past bool) {
	name, fetch := towards(fmt.Sprintf("Screen%dx%d", bits, n), past)
	function(name, "func(dst *float32, ldd uintptr, six, low *byte, y *int16, ldy, chunks uintptr, bases *int32, coefs, widths *float32)",
		fmt.Sprintf("%s bounds the products of 4 rows of %d-bit codes with %d rows of activations.", name, bits, n))
	p, bytes := newPlanes(bits), constant(0x00ff00ff)[0]
	y := newRowsAt(arg("y"), arg("ldy"), n)
	acc := dots4(n)
	ahead := 40 // chunks
	if n > 3 {
		ahead = 64
	}
	loop("chunks", arg("chunks"), func() { // past the larger caches: see ternaryStream
		p.fetch(fetch, Mem{Base: p.six, Disp: ahead * chunkSix}, Mem{Base: p.low, Disp: ahead * chunkLow})
		u, low := p.load(), p.loadLow()
		var even [screenRows]reg.VecVirtual
		for r := range u {
			even[r] = ZMM()
			p.lower(r, low, u[r])
			VPANDD(bytes, u[r], even[r])
			VPSRLW(U8(8), u[r], u[r])
		}
		v := ZMM()
		for i := range acc {
			for half, words := range [][screenRows]reg.VecVirtual{even, u} {
				VMOVDQU32(y.row(i, 64*half), v)
				for r := range words {
					VPDPWSSD(v, words[r], acc[i][r])
				}
			}
		}
		p.advance()
		y.advance(128)
	})
	b := newBounds(bits)
	for i := range acc {
		b.put(i, sumInts(acc[i]), i+1 == n)
	}
	VZEROUPPER()
	RET()
}

// bounds turns the sums of a group with activation row i into upper bounds.
type bounds struct {
	bits                           int
	dst, ldd, bases, coefs, widths reg.Register
}

func newBounds(bits int) bounds {
	return bounds{bits, arg("dst"), arg("ldd"), arg("bases"), arg("coefs"), arg("widths")}
}

func (b bounds) put(i int, dots reg.VecVirtual, last bool) {
	e, t := XMM(), XMM()
	if b.bits == 6 {
		VPADDD(dots, dots, dots)
	}
	coefs := Mem{Base: b.coefs}
	upperBound(dots, e, t, Mem{Base: b.bases, Disp: 4 * i}, Mem{Base: b.widths, Disp: 8 * i}, [3]Op{coefs, coefs.Offset(16), coefs.Offset(32)})
	VMOVUPS(dots, Mem{Base: b.dst})
	if !last {
		ADDQ(b.ldd, b.dst)
	}
}

// upperBound turns dots into upper bounds, by scales, misses and norms of their rows; e and t are changed.
func upperBound(dots, e, t reg.Register, base, widths Mem, coefs [3]Op) {
	VPBROADCASTD(base, t)
	VPSUBD(t, dots, dots)
	VCVTDQ2PS(dots, dots)
	VMULPS(coefs[0], dots, dots)
	VBROADCASTSS(widths, e)
	VMULPS(coefs[1], e, e)
	VBROADCASTSS(widths.Offset(4), t)
	VMULPS(coefs[2], t, t)
	VADDPS(t, e, e)
	VADDPS(e, dots, dots)
}

// coarseTile emits screenTile for activations of 8 bits. With each chunk the lines of
// one from nextSix and nextLow on are fetched to the second cache, or past it to the first
// (near), and these grow by 3·step and step.
func coarseTile(n int, near bool) {
	const bits = 8
	name, fetch := fmt.Sprintf("Coarsex%d", n), PREFETCHT1
	if near {
		name, fetch = fmt.Sprintf("CoarseNearx%d", n), PREFETCHNTA
	}
	function(name, "func(dst *float32, ldd uintptr, six, low *byte, y *int8, ldy, chunks uintptr, nextSix, nextLow *byte, step uintptr, bases *int32, coefs, widths *float32)",
		fmt.Sprintf("%s bounds the products of 4 rows of 8-bit codes with %d rows of 8-bit activations.", name, n))
	p := newPlanes(bits)
	nextSix, nextLow, step, triple := arg("nextSix"), arg("nextLow"), arg("step"), GP64()
	LEAQ(Mem{Base: step, Index: step, Scale: 2}, triple)
	y := newRowsAt(arg("y"), arg("ldy"), n)
	acc := dots4(n)
	loop("chunks", arg("chunks"), func() {
		p.fetch(fetch, Mem{Base: nextSix}, Mem{Base: nextLow})
		u := p.unpack()
		v := ZMM()
		for i := range acc {
			VMOVDQU32(y.row(i, 0), v)
			for r := range u {
				VPDPBUSD(v, u[r], acc[i][r])
			}
		}
		p.advance()
		ADDQ(triple, nextSix)
		ADDQ(step, nextLow)
		y.advance(64)
	})
	b := newBounds(bits)
	for i := range acc {
		b.put(i, sumInts(acc[i]), i+1 == n)
	}
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
