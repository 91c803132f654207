package main

import (
	"fmt"
	"sync"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// layout is how a row of 2-bit codes lies in memory, 64 bytes (256 codes) a
// chunk: step bytes to the next chunk, and the shift that brings quarter q of
// the codes of each byte to its low bits.
type layout struct {
	name   string
	step   int
	shifts [4]uint8
}

// signature is shared by all ternary tiles; strides are in bytes.
const ternarySignature = "func(dst *float32, ldd uintptr, w *byte, ldw uintptr, a *int8, lda uintptr, chunks, tail uintptr, sums *int32, scales *float32, scale float32, next *byte, step uintptr)"

// epilogue turns the dots of four rows (or one) with activation row i into
// float32(dot - sum[i]) / scales[i] · scale and stores them.
type epilogue struct {
	dst, ldd, sums, scales reg.Register
	scale                  reg.VecVirtual
}

func newEpilogue() epilogue {
	e := epilogue{dst: arg("dst"), ldd: arg("ldd"), sums: arg("sums"), scales: arg("scales"), scale: XMM()}
	VBROADCASTSS(argMem("scale"), e.scale)
	return e
}

func (e epilogue) put(i, rows int, last bool, dots reg.VecVirtual) {
	b := XMM()
	VPBROADCASTD(Mem{Base: e.sums, Disp: 4 * i}, b)
	VPSUBD(b, dots, dots)
	VCVTDQ2PS(dots, dots)
	VBROADCASTSS(Mem{Base: e.scales, Disp: 4 * i}, b)
	VDIVPS(b, dots, dots)
	VMULPS(e.scale, dots, dots)
	if rows == 4 {
		VMOVUPS(dots, Mem{Base: e.dst})
	} else {
		VMOVSS(dots, Mem{Base: e.dst})
	}
	if !last {
		ADDQ(e.ldd, e.dst)
	}
}

// tileRows is the number of weight rows of a tile.
const tileRows = 4

// beginTile begins a tile of n activation rows and clears its accumulators,
// acc[activation row][weight row].
func beginTile(l layout, n int) (w, a rowsAt, acc [][]reg.VecVirtual) {
	w, a = tileRowsOf(l, n)
	acc = make([][]reg.VecVirtual, n)
	for i := range acc {
		acc[i] = make([]reg.VecVirtual, tileRows)
		for r := range acc[i] {
			acc[i][r] = vreg()
			zeroReg(acc[i][r])
		}
	}
	return w, a, acc
}

// tileRowsOf begins the function of a tile.
func tileRowsOf(l layout, n int) (w, a rowsAt) {
	name := fmt.Sprintf("%sx%d", l.name, n)
	function(name, ternarySignature, fmt.Sprintf("%s multiplies %d rows of 2-bit codes with %d rows of activations.", name, tileRows, n))
	return newRowsAt(arg("w"), arg("ldw"), tileRows), newRowsAt(arg("a"), arg("lda"), n)
}

// fetcher fetches what is read after the weights of a tile: with each chunk as
// many lines as a tile has rows, from next on, which then moves by step.
type fetcher struct{ next, step reg.Register }

func newFetcher() fetcher { return fetcher{arg("next"), arg("step")} }

func (f fetcher) chunk() {
	for r := range tileRows {
		PREFETCHT0(Mem{Base: f.next, Disp: 64 * r})
	}
	ADDQ(f.step, f.next)
}

// fetchAhead fetches the line that lies ahead of m.
func fetchAhead(m Mem, ahead reg.Register) {
	if m.Index == nil {
		m.Index, m.Scale = ahead, 1
		PREFETCHT0(m)
		return
	}
	p := GP64()
	LEAQ(m, p)
	PREFETCHT0(Mem{Base: p, Index: ahead, Scale: 1})
}

// lastHalf emits a chunk once more, of half the codes, where tail asks for it.
func lastHalf(chunk func(k reg.Register)) {
	tail := arg("tail")
	TESTQ(tail, tail)
	JZ(LabelRef("done"))
	bits := GP64()
	MOVL(U32(0xffffffff), bits.As32())
	k := K()
	KMOVQ(bits, k)
	chunk(k)
	Label("done")
}

// ternaryTile emits the product of 4 rows of codes with n activation rows
// through VPDPBUSD: codes are the unsigned operand.
func ternaryTile(l layout, n int) {
	w, a, acc := beginTile(l, n)
	mask := constant(0x03030303)[0]
	// Each line of codes is loaded once, because rows seldom begin at a line of
	// the cache and a load that crosses one costs several. A sixth activation row
	// takes the registers for that: it loads them for every part.
	again := n > 5
	chunk := func(k reg.Register) {
		var codes, u [tileRows]reg.VecVirtual
		for r := range codes {
			u[r] = ZMM()
			if again {
				continue
			}
			codes[r] = ZMM()
			if k != nil {
				VMOVDQU8_Z(w.row(r, 0), k, codes[r])
			} else {
				VMOVDQU32(w.row(r, 0), codes[r])
			}
		}
		av := ZMM()
		for q, shift := range l.shifts {
			for r := range u {
				switch {
				case again && k != nil:
					VMOVDQU8_Z(w.row(r, 0), k, u[r])
					VPSRLW(U8(shift), u[r], u[r])
					VPANDD(mask, u[r], u[r])
				case again && shift == 0:
					VPANDD(w.row(r, 0), mask, u[r])
				case again:
					VPSRLW(U8(shift), w.row(r, 0), u[r])
					VPANDD(mask, u[r], u[r])
				default:
					lowCodes(shift, mask, codes[r], u[r])
				}
			}
			for i := range acc {
				VMOVDQU32(a.row(i, 64*q), av)
				for r := range u {
					VPDPBUSD(av, u[r], acc[i][r])
				}
			}
		}
	}
	next := newFetcher()
	loop("chunks", arg("chunks"), func() {
		next.chunk()
		chunk(nil)
		w.advance(l.step)
		a.advance(256)
	})
	lastHalf(chunk)
	newEpilogue().putAll(acc)
	VZEROUPPER()
	RET()
}

// lowCodes brings the codes at a shift to the low bits of each byte of u, alone.
func lowCodes(shift uint8, mask, codes, u Op) {
	if shift > 0 {
		VPSRLW(U8(shift), codes, u)
		codes = u
	}
	if wide {
		VPANDD(mask, codes, u)
	} else {
		VPAND(mask, codes, u)
	}
}

// putAll is put for all activation rows of a tile: four at a time, or as many as
// are left, are folded and scaled in one register, four weight rows in each
// 128 bits of it.
func (e epilogue) putAll(acc [][]reg.VecVirtual) {
	n := len(acc)
	if n == 1 {
		e.put(0, tileRows, true, sumInts(acc[0]))
		return
	}
	index, scale := ZMM(), ZMM()
	VMOVDQU32(eachFour(), index)
	VBROADCASTSS(e.scale, scale)
	for i := 0; i < n; i += 4 {
		part := acc[i:min(i+4, n)]
		quads := make([]reg.VecVirtual, len(part))
		for j, a := range part {
			quads[j] = foldQuads(a)
		}
		dots := foldBlocks(quads)
		t := ZMM()
		spread := func(from reg.Register) {
			m := Mem{Base: from, Disp: 4 * i}
			switch len(part) {
			case 1:
				VPBROADCASTD(m, t)
				return
			case 2:
				VMOVQ(m, t.AsX())
			case 3:
				// Not what lies behind the last.
				VMOVQ(m, t.AsX())
				VPINSRD(U8(2), m.Offset(8), t.AsX(), t.AsX())
			default:
				VMOVDQU32(m, t.AsX())
			}
			VPERMD(t, index, t)
		}
		spread(e.sums)
		VPSUBD(t, dots, dots)
		VCVTDQ2PS(dots, dots)
		spread(e.scales)
		VDIVPS(t, dots, dots)
		VMULPS(scale, dots, dots)
		for j := range part {
			if j == 0 {
				VMOVUPS(dots.AsX(), Mem{Base: e.dst})
			} else {
				VEXTRACTF32X4(U8(uint8(j)), dots, Mem{Base: e.dst})
			}
			if i+j+1 < n {
				ADDQ(e.ldd, e.dst)
			}
		}
	}
}

// eachFour is a table of 0 0 0 0 1 1 1 1 …, for VPERMD.
var eachFour = sync.OnceValue(func() Mem {
	m := GLOBL("eachfour", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(uint32(i/4)))
	}
	return m
})

// foldQuads folds four registers of int32 to one in which each 128 bits are
// sums of the four.
func foldQuads(c []reg.VecVirtual) reg.VecVirtual {
	lo, hi, lo2 := ZMM(), ZMM(), ZMM()
	VPUNPCKLDQ(c[1], c[0], lo)
	VPUNPCKHDQ(c[1], c[0], hi)
	VPADDD(lo, hi, lo)
	VPUNPCKLDQ(c[3], c[2], lo2)
	VPUNPCKHDQ(c[3], c[2], hi)
	VPADDD(lo2, hi, lo2)
	VPUNPCKLQDQ(lo2, lo, hi)
	VPUNPCKHQDQ(lo2, lo, lo)
	VPADDD(lo, hi, lo)
	return lo
}

// foldBlocks adds up the 128-bit blocks of each of up to four registers; those of
// register i are block i of the result.
func foldBlocks(x []reg.VecVirtual) reg.VecVirtual {
	half := func(a, b reg.VecVirtual) reg.VecVirtual {
		lo, hi := ZMM(), ZMM()
		VSHUFI64X2(U8(0x44), b, a, lo)
		VSHUFI64X2(U8(0xee), b, a, hi)
		VPADDD(hi, lo, lo)
		return lo
	}
	at := func(i int) reg.VecVirtual { return x[min(i, len(x)-1)] }
	a := half(at(0), at(1))
	b := a
	if len(x) > 2 {
		b = half(at(2), at(3))
	}
	even, odd := ZMM(), ZMM()
	VSHUFI64X2(U8(0x88), b, a, even)
	VSHUFI64X2(U8(0xdd), b, a, odd)
	VPADDD(odd, even, even)
	return even
}

// towards gives the prefetch of a kernel whose weights are read once a token, and its name: past the larger caches to
// the first one, or, for processors that have few loads under way past the second, through the others to that one.
func towards(name string, past bool) (string, func(Op)) {
	if past {
		return name, PREFETCHNTA
	}
	return name + "Kept", PREFETCHT1
}

// ternaryStream emits the product of 1 row with 1 activation row, for when
// memory is the limit: one stream, far prefetch, and no shifts: each quarter of
// the codes stays at its place in the byte and the accumulators are shifted
// once at the end. What is fetched is read once a token and need not go through
// the larger caches, which would have to write it on (past).
func ternaryStream(l layout, past bool) {
	name, fetch := towards(l.name+"Row", past)
	function(name, ternarySignature, name+" multiplies 1 row of 2-bit codes with 1 row of activations.")
	w, a, next := arg("w"), arg("a"), arg("next")
	var acc, mask [4]reg.VecVirtual
	for q, shift := range l.shifts {
		acc[q] = ZMM()
		VPXORD(acc[q], acc[q], acc[q])
		mask[q] = constant(0x03030303 << shift)[0]
	}
	chunk := func(k reg.Register) {
		v := ZMM()
		if k != nil {
			VMOVDQU8_Z(Mem{Base: w}, k, v)
		} else {
			VMOVDQU32(Mem{Base: w}, v)
		}
		for q := range acc {
			u := ZMM()
			VPANDD(mask[q], v, u)
			VPDPBUSD(Mem{Base: a, Disp: 64 * q}, u, acc[q])
		}
	}
	loop("chunks", arg("chunks"), func() {
		fetch(Mem{Base: next})
		ADDQ(I32(int32(l.step)), next)
		chunk(nil)
		ADDQ(I32(int32(l.step)), w)
		ADDQ(I32(256), a)
	})
	lastHalf(chunk)
	var sum reg.VecVirtual
	for q, shift := range l.shifts {
		if shift > 0 {
			VPSRAD(U8(shift), acc[q], acc[q])
		}
		if sum == nil {
			sum = acc[q]
		} else {
			VPADDD(acc[q], sum, sum)
		}
	}
	newEpilogue().put(0, 1, true, foldPart(sum, addInts))
	VZEROUPPER()
	RET()
}

// quantize512 emits the second half of QuantizeRow: q = round(x·s), stored in
// the order of the tiles, and Σ q. groups counts 128 values; the tail of an
// odd number must be zeroed by the caller. From one quarter of a chunk to the next
// are so many bytes.
func quantize512(name string, quarter int) {
	function(name, "func(q *int8, x *float32, chunks, tail uintptr, s float32) int32", name+" rounds x·s to int8 in the order of the ternary tiles and returns the sum.")
	q, x := arg("q"), arg("x")
	s, magic := ZMM(), constant(roundMagic)[0]
	VBROADCASTSS(argMem("s"), s)
	sum := ZMM()
	VPXORD(sum, sum, sum)
	half := func(b int) {
		for t := range 4 {
			for h := range 2 {
				v := ZMM()
				VMULPS(Mem{Base: x, Disp: 4 * (128*b + 32*t + 16*h)}, s, v)
				VADDPS(magic, v, v)
				VPSUBD(magic, v, v)
				VPADDD(v, sum, sum)
				VPMOVDB(v, Mem{Base: q, Disp: quarter*t + 32*b + 16*h})
			}
		}
	}
	loop("chunks", arg("chunks"), func() {
		half(0)
		half(1)
		ADDQ(I32(int32(4*quarter)), q)
		ADDQ(I32(1024), x)
	})
	tail := arg("tail")
	TESTQ(tail, tail)
	JZ(LabelRef("done"))
	half(0)
	Label("done")
	r := GP32()
	VMOVD(foldPart(sum, addInts), r)
	Store(r, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
