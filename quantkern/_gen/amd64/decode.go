package main

import (
	"fmt"
	"iter"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packing is a type of weights: how a block of values lies in so many bytes.
type packing struct {
	name          string
	values, bytes int
	table         string // last parameter of the kernels, if they need a table of quantkern's

	// prepare emits what stays in registers for the whole kernel and returns
	// what unpacks one block; it may use slots, 128 bytes on the stack for each
	// row that is unpacked at a time.
	prepare func() unpacker
	alone   bool // rows need too many registers to be unpacked side by side
}

// unpacker emits the decoding of the block whose byte off is at(off): sixteen
// values at a time in ascending order are handed to emit, which may destroy
// them. They are quantkern.Codec.Decode's, operation by operation.
type unpacker func(at func(off int) Mem, slot Mem, emit func(part int, v lanes))

const slotBytes = 128

var packings = []packing{
	{name: "F32", values: 16, bytes: 64, prepare: unpackF32},
	{name: "F16", values: 16, bytes: 32, prepare: unpackF16},
	{name: "BF16", values: 16, bytes: 32, prepare: unpackBF16},
	{name: "Q8x0", values: 32, bytes: 34, prepare: unpackQ8x0},
	{name: "Q4x0", values: 32, bytes: 18, table: "halves *float32", prepare: func() unpacker { return unpackNibbles(8, false) }},
	{name: "Q4x1", values: 32, bytes: 20, table: "halves *float32", prepare: func() unpacker { return unpackNibbles(0, true) }},
	{name: "Q4K", values: 256, bytes: 144, prepare: func() unpacker { return unpackK(false) }},
	{name: "Q5K", values: 256, bytes: 176, prepare: func() unpacker { return unpackK(true) }, alone: true},
	{name: "Q6K", values: 256, bytes: 210, prepare: unpackQ6K},
	{name: "IQ2S", values: 256, bytes: 82, table: "grid *uint16", prepare: unpackIQ2S},
}

func (p packing) signature(params string) string {
	if p.table != "" {
		params += ", " + p.table
	}
	return "func(" + params + ")"
}

// decode emits the decoding of consecutive blocks; ahead is how far, in bytes,
// lie those that will be decoded next.
func (p packing) decode() {
	function("Decode"+p.name, p.signature("dst *float32, src *byte, blocks, ahead uintptr"),
		fmt.Sprintf("Decode%s unpacks blocks of %d values and fetches those that lie ahead.", p.name, p.values))
	dst, src, ahead := arg("dst"), arg("src"), arg("ahead")
	unpack, slot := p.prepare(), p.slots(1)
	loop("blocks", arg("blocks"), func() {
		for line := 0; line < p.bytes; line += 64 {
			PREFETCHT0(Mem{Base: src, Index: ahead, Scale: 1, Disp: line})
		}
		unpack(
			func(off int) Mem { return Mem{Base: src, Disp: off} }, slot,
			func(part int, v lanes) { v.store(Mem{Base: dst, Disp: 64 * part}) })
		ADDQ(I32(int32(p.bytes)), src)
		ADDQ(I32(int32(4*p.values)), dst)
	})
	VZEROUPPER()
	RET()
}

// stream emits the product of four packed rows with one row of activations, each
// value decoded on the way: dst[r] = Σ w[r]·x. The rows of the group after
// next are fetched ahead, as if the matrix went on.
func (p packing) stream() {
	const rows, groups = 4, 2
	function("Stream"+p.name, p.signature("dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx uintptr, blocks uintptr"),
		fmt.Sprintf("Stream%s multiplies 4 rows of blocks of %d values with 1 row of activations.", p.name, p.values))
	ldw := arg("ldw")
	w := newRowsAt(arg("w"), ldw, rows)
	far := GP64()
	MOVQ(ldw, far)
	SHLQ(U8(3), far) // rows·groups
	ADDQ(w.bases[0], far)
	ahead := newRowsAt(far, ldw, rows)
	x := arg("x")
	acc := make([]lanes, rows)
	for r := range acc {
		acc[r] = newLanes().zero()
	}
	unpack, slots := p.prepare(), p.slots(rows)
	row := func(r int) iter.Seq2[int, lanes] {
		return func(yield func(int, lanes) bool) {
			unpack(
				func(off int) Mem { return w.row(r, off) }, slots.Offset(slotBytes*r),
				func(part int, v lanes) { yield(part, v) })
		}
	}
	loop("blocks", arg("blocks"), func() {
		for r := range acc {
			for line := 0; line < p.bytes; line += 64 {
				PREFETCHT0(ahead.row(r, line))
			}
		}
		if wide && !p.alone {
			sideBySide(x, acc, row)
		} else {
			for r := range acc {
				for part, v := range row(r) {
					for i := range v {
						VMULPS(Mem{Base: x, Disp: 64*part + bytesPerPart()*i}, v[i], v[i])
						VADDPS(v[i], acc[r][i], acc[r][i])
					}
				}
			}
		}
		w.advance(p.bytes)
		ahead.advance(p.bytes)
		ADDQ(I32(int32(4*p.values)), x)
	})
	VMOVUPS(sum4(acc[0], acc[1], acc[2], acc[3]), Mem{Base: arg("dst")})
	VZEROUPPER()
	RET()
}

// sideBySide unpacks all rows at the same time, so that the activations are
// loaded once for all.
func sideBySide(x reg.Register, acc []lanes, row func(r int) iter.Seq2[int, lanes]) {
	next := make([]func() (int, lanes, bool), len(acc))
	for r := range next {
		var stop func()
		next[r], stop = iter.Pull2(row(r))
		defer stop()
	}
	for {
		xv := newLanes()
		for r := range acc {
			part, v, ok := next[r]()
			if !ok {
				return
			}
			if r == 0 {
				xv.loadF32(Mem{Base: x, Disp: 64 * part})
			}
			for i := range v {
				VMULPS(xv[i], v[i], v[i])
				VADDPS(v[i], acc[r][i], acc[r][i])
			}
		}
	}
}

// slots are what the types of 256 values keep on the stack, a row each.
func (p packing) slots(rows int) Mem {
	if p.values < 256 {
		return Mem{}
	}
	return AllocLocal(slotBytes * rows)
}

func unpackF32() unpacker {
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) { emit(0, newLanes().loadF32(at(0))) }
}

func unpackF16() unpacker {
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) { emit(0, newLanes().loadF16(at(0))) }
}

func unpackBF16() unpacker {
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
		v := newLanes()
		for i, r := range v {
			VPMOVZXWD(at(bytesPerPart()/2*i), r)
			VPSLLD(U8(16), r, r)
		}
		emit(0, v)
	}
}

func unpackQ8x0() unpacker {
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
		d := half(at(0))
		for part := range 2 {
			v := newLanes()
			for i, r := range v {
				VPMOVSXBD(at(2+16*part+bytesPerPart()/4*i), r)
				VCVTDQ2PS(r, r)
				VMULPS(d, r, r)
			}
			emit(part, v)
		}
	}
}

// unpackNibbles is Q4_0 and Q4_1. A 512-bit register holds what each of the
// sixteen codes of a block stands for, which is looked up. So are the scales,
// in quantkern's table of all halves: these blocks are so small that converting
// them costs a fifth of the time.
func unpackNibbles(zero int, hasMin bool) unpacker {
	halves := arg("halves")
	lookUp := func(m Mem) reg.VecVirtual {
		index, r := GP64(), vreg()
		MOVWQZX(m, index)
		VBROADCASTSS(Mem{Base: halves, Index: index, Scale: 4}, r)
		return r
	}
	codes := 2
	if hasMin {
		codes = 4
	}
	if wide {
		levels := sequence("nibbles", -zero)
		return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
			table := lookUp(at(0))
			VMULPS(levels, table, table)
			if hasMin {
				VADDPS(lookUp(at(2)), table, table)
			}
			code := ZMM()
			VPMOVZXBD(at(codes), code)
			for part := range 2 {
				if part == 1 {
					VPSRLD(U8(4), code, code)
				}
				v := newLanes()
				VPERMPS(table, code, v[0])
				emit(part, v)
			}
		}
	}
	mask, middle := constant(15)[0], constant(uint32(zero))[0]
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
		d := lookUp(at(0))
		var m reg.VecVirtual
		if hasMin {
			m = lookUp(at(2))
		}
		for part := range 2 {
			v := newLanes()
			for i, r := range v {
				VPMOVZXBD(at(codes+8*i), r)
				lowOrHigh(part, mask, r)
				if zero != 0 {
					VPSUBD(middle, r, r)
				}
				VCVTDQ2PS(r, r)
				VMULPS(d, r, r)
				if hasMin {
					VADDPS(m, r, r)
				}
			}
			emit(part, v)
		}
	}
}

// unpackK is Q4_K and, with a fifth bit, Q5_K.
func unpackK(fifth bool) unpacker {
	nibbles := 16
	if fifth {
		nibbles = 48
	}
	if wide {
		return unpackK512(fifth, nibbles)
	}
	mask := constant(15)[0]
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
		partScales(at, slot)
		for part := range 8 {
			scale, offset := YMM(), YMM()
			VBROADCASTSS(slot.Offset(4*part), scale)
			VBROADCASTSS(slot.Offset(32+4*part), offset)
			for h := range 2 {
				v := newLanes()
				for i, r := range v {
					VPMOVZXBD(at(nibbles+part/2*32+16*h+8*i), r)
					lowOrHigh(part%2, mask, r)
					if fifth {
						high, bit := YMM(), YMM()
						VPMOVZXBD(at(16+16*h+8*i), high)
						VPSLLD(U8(31-part), high, high)
						VPSRLD(U8(31), high, bit)
						VPSLLD(U8(4), bit, bit)
						VPOR(bit, r, r)
					}
					VCVTDQ2PS(r, r)
					VMULPS(scale, r, r)
					VSUBPS(offset, r, r)
				}
				emit(2*part+h, v)
			}
		}
	}
}

// unpackK512 looks the codes up among the values of their part, of which there
// are sixteen or, with a fifth bit, two registers full.
func unpackK512(fifth bool, nibbles int) unpacker {
	levels := []reg.VecVirtual{sequence("low", 0)}
	var mask reg.VecVirtual
	if fifth {
		levels = append(levels, sequence("high", 16))
		mask = constant(15)[0]
	}
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
		partScales(at, slot)
		code := []reg.VecVirtual{ZMM(), ZMM()}
		high := []reg.VecVirtual{ZMM(), ZMM()}
		for h := range high {
			if fifth {
				VPMOVZXBD(at(16+16*h), high[h])
			}
		}
		for part := range 8 {
			var tables []reg.VecVirtual
			for _, l := range levels {
				t := ZMM()
				VMULPS_BCST(slot.Offset(4*part), l, t)
				VSUBPS_BCST(slot.Offset(32+4*part), t, t)
				tables = append(tables, t)
			}
			for h, c := range code {
				if part%2 == 0 {
					VPMOVZXBD(at(nibbles+part/2*32+16*h), c)
				} else {
					VPSRLD(U8(4), c, c)
				}
				v := newLanes()
				if !fifth {
					VPERMPS(tables[0], c, v[0])
				} else {
					if part < 4 {
						VPSLLD(U8(4-part), high[h], v[0])
					} else {
						VPSRLD(U8(part-4), high[h], v[0])
					}
					VPTERNLOGD(U8(0xd8), mask, c, v[0]) // mask ? c : v
					VPERMI2PS(tables[1], tables[0], v[0])
				}
				emit(2*part+h, v)
			}
		}
	}
}

// partScales computes the scales and, 32 bytes on, the offsets of the eight
// parts of a Q4_K or Q5_K block.
func partScales(at func(int) Mem, slot Mem) {
	var words [3]reg.GPVirtual
	for i := range words {
		words[i] = GP32()
		MOVL(at(4+4*i), words[i])
	}
	// The third word has the low four bits of parts 4 to 7, whose high two are
	// the top bits of parts 0 to 3.
	bytes := XMM()
	for i, w := range words[:2] {
		upper, low := GP32(), GP32()
		MOVL(words[2], upper)
		if i == 1 {
			SHRL(U8(4), upper)
		}
		ANDL(U32(0x0f0f0f0f), upper)
		MOVL(w, low)
		SHRL(U8(2), low)
		ANDL(U32(0x30303030), low)
		ORL(low, upper)
		ANDL(U32(0x3f3f3f3f), w)
		both := upper.As64()
		SHLQ(U8(32), both)
		ORQ(w.As64(), both)
		if i == 0 {
			VMOVQ(both, bytes)
		} else {
			VPINSRQ(U8(1), both, bytes, bytes)
		}
	}
	pair, dmin := XMM(), XMM()
	VMOVD(at(0), pair)
	VCVTPH2PS(pair, pair)
	VMOVSHDUP(pair, dmin)
	ds := []reg.VecVirtual{YMM(), YMM()}
	VBROADCASTSS(pair, ds[0])
	VBROADCASTSS(dmin, ds[1])
	if wide {
		z := ZMM()
		VINSERTF64X4(U8(1), ds[1], ds[0].AsZ(), z)
		ds = []reg.VecVirtual{z}
	}
	for i, d := range ds {
		v := vreg()
		if i == 1 {
			VPSRLDQ(U8(8), bytes, bytes)
		}
		VPMOVZXBD(bytes, v)
		VCVTDQ2PS(v, v)
		VMULPS(d, v, v)
		VMOVUPS(v, slot.Offset(32*i))
	}
}

// unpackQ6K puts the codes of two (or, in 256 bits, one) quarters of half a
// block together as bytes.
func unpackQ6K() unpacker {
	low, all, middle := constant(0x0f0f0f0f)[0], constant(0x3f3f3f3f)[0], constant(0x20202020)[0]
	var up, down reg.VecVirtual
	if wide {
		up, down = table("q6kup", 8, 4, 4, 4, 4, 2, 2, 2, 2), table("q6kdown", 8, 0, 0, 0, 0, 2, 2, 2, 2)
	}
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
		d := half(at(208))
		for i, r := range newLanes() {
			VPMOVSXBD(at(192+bytesPerPart()/4*i), r)
			VCVTDQ2PS(r, r)
			VMULPS(d, r, r)
			VMOVUPS(r, slot.Offset(bytesPerPart()*i))
		}
		quarters := bytesPerPart() / 32
		for first := 0; first < 8; first += quarters {
			h, quarter := first/4, first%4
			code, high := vreg(), vreg()
			lows := at(64*h + 32*(quarter%2))
			if quarter < 2 {
				load(lows, code)
			} else {
				VPSRLW(U8(4), source(lows), code)
			}
			if wide {
				VBROADCASTI64X4(at(128+32*h), high)
				if quarter < 2 {
					VPSLLVQ(up, high, high)
				} else {
					VPSRLVQ(down, high, high)
				}
				VPTERNLOGD(U8(0xd8), low, code, high) // low ? code : high
			} else {
				VMOVDQU(at(128+32*h), high)
				if quarter < 2 {
					VPSLLW(U8(4-2*quarter), high, high)
				} else if quarter == 3 {
					VPSRLW(U8(2), high, high)
				}
				VPAND(low, code, code)
				VPANDN(high, low, high)
				VPOR(code, high, high)
			}
			and(all, high, high)
			VPSUBB(middle, high, high)
			for j := range 2 * quarters {
				part := 2*first + j
				x := XMM()
				switch {
				case j == 0:
					x = high.AsX().(reg.VecVirtual)
				case wide:
					VEXTRACTI32X4(U8(j), high, x)
				default:
					VEXTRACTI128(U8(1), high, x)
				}
				v := newLanes()
				for i, r := range v {
					if i == 0 {
						VPMOVSXBD(x, r)
					} else {
						t := XMM()
						VPSRLDQ(U8(8), x, t)
						VPMOVSXBD(t, r)
					}
					VCVTDQ2PS(r, r)
					times(slot.Offset(4*part), r)
				}
				emit(part, v)
			}
		}
	}
}

// unpackIQ2S shifts each point of the grid, as many times as it has
// magnitudes, so that the lowest bits of the lanes index the magnitudes, which
// are looked up already multiplied by the scale.
func unpackIQ2S() unpacker {
	grid := arg("grid")
	n := bytesPerPart() / 4 // lanes of a register
	fill := func(f func(lane int) uint32) []uint32 {
		v := make([]uint32, n)
		for i := range v {
			v[i] = f(i)
		}
		return v
	}
	magnitude := table("iq2slevels", 4, fill(func(i int) uint32 {
		return bitsOf([]float32{8, 25, 43, 0}[i%4])
	})...)
	toIndex := table("iq2sshifts", 4, fill(func(i int) uint32 { return uint32(2 * (i % 8)) })...)
	sign := constant(0x80000000)[0]
	var toSign []Mem
	for first := 0; first < 32; first += n {
		toSign = append(toSign, global(fmt.Sprintf("iq2ssigns%d", first), 4,
			fill(func(i int) uint32 { return uint32(31 - first - i) })...))
	}
	var spread, places []uint32
	for range n / 4 {
		spread = append(spread, 0x80008000, 0x80008000, 0x80088008, 0x80088008)
		places = append(places, 64<<16|256, 4<<16|16, 64<<16|256, 4<<16|16)
	}
	spreadAt, placesAt := global("iq2sspread", 4, spread...), global("iq2splaces", 4, places...)
	upper := reg.Register(nil)
	if wide {
		bits := GP32()
		MOVL(U32(0xff00), bits)
		k := K()
		KMOVW(bits, k)
		upper = k
	}
	all := func(name string, bits uint32) Mem { // in memory: these are used once a block
		return global(name, 4, fill(func(int) uint32 { return bits })...)
	}
	nibble, high := all("nibble", 15), all("iq2shigh", 0x03000300)
	halfOne, quarterOne := all("half", bitsOf(0.5)), all("quarter", bitsOf(0.25))
	return func(at func(int) Mem, slot Mem, emit func(int, lanes)) {
		scales, indices := slot, slot.Offset(64)
		d := half(at(0))
		for i := range newLanes() {
			v, t := vreg(), vreg()
			VPMOVZXBQ(at(74+n/2*i), v)
			VPSLLQ(U8(28), v, t)
			or(t, v, v)
			and(nibble, v, v)
			VCVTDQ2PS(v, v)
			VADDPS(halfOne, v, v)
			VMULPS(d, v, v)
			VMULPS(quarterOne, v, v)
			VMOVUPS(v, scales.Offset(bytesPerPart()*i))
			low, top := vreg(), vreg()
			VPMOVZXBW(at(2+2*n*i), low)
			VPMOVZXBQ(at(66+n/2*i), top)
			VPSHUFB(spreadAt, top, top)
			VPMULLW(placesAt, top, top)
			and(high, top, top)
			or(top, low, low)
			store(low, indices.Offset(bytesPerPart()*i))
		}
		point := func(group int) Mem {
			index := GP64()
			MOVWQZX(indices.Offset(2*group), index)
			return Mem{Base: grid, Index: index, Scale: 2}
		}
		for part := range 8 {
			signs := vreg()
			VPBROADCASTD(at(34+4*part), signs)
			for p := range 2 {
				t := vreg()
				VMOVAPS(magnitude, t)
				times(scales.Offset(4*(2*part+p)), t)
				v := newLanes()
				for i, r := range v {
					group := 4*part + 2*p + i
					s := vreg()
					VPBROADCASTD(point(group), s)
					if wide {
						VPBROADCASTD(point(group+1), upper, s)
					}
					VPSRLVD(toIndex, s, s)
					VPERMPS(t, s, r)
					VPSLLVD(toSign[(2*p+i)*8/n], signs, s)
					if wide {
						VPTERNLOGD(U8(0x78), sign, s, r) // r ^ (s & sign)
					} else {
						VPAND(sign, s, s)
						VPXOR(s, r, r)
					}
				}
				emit(2*part+p, v)
			}
		}
	}
}

// half gives every lane the half-precision number at m.
func half(m Mem) reg.VecVirtual {
	r := vreg()
	h := reg.VecVirtual(XMM())
	if wide {
		h = YMM()
	}
	VPBROADCASTW(m, h)
	VCVTPH2PS(h, r)
	return r
}

// times multiplies r by the float32 at m.
func times(m Mem, r reg.VecVirtual) {
	if wide {
		VMULPS_BCST(m, r, r)
		return
	}
	f := vreg()
	VBROADCASTSS(m, f)
	VMULPS(f, r, r)
}

// lowOrHigh leaves the low or the high half of the byte in each lane.
func lowOrHigh(part int, mask, r reg.VecVirtual) {
	if part == 0 {
		VPAND(mask, r, r)
	} else {
		VPSRLD(U8(4), r, r)
	}
}

func and(m, a, dst Op) {
	if wide {
		VPANDD(m, a, dst)
	} else {
		VPAND(m, a, dst)
	}
}

func or(m, a, dst Op) {
	if wide {
		VPORD(m, a, dst)
	} else {
		VPOR(m, a, dst)
	}
}

func load(m Mem, r reg.VecVirtual) {
	if wide {
		VMOVDQU32(m, r)
	} else {
		VMOVDQU(m, r)
	}
}

func store(r reg.VecVirtual, m Mem) {
	if wide {
		VMOVDQU32(r, m)
	} else {
		VMOVDQU(r, m)
	}
}

// source is m as an operand; shifts by a constant take one from memory only in
// 512 bits.
func source(m Mem) Op {
	if wide {
		return m
	}
	r := vreg()
	load(m, r)
	return r
}

// sequence is a register of the sixteen float32 from first on.
func sequence(name string, first int) reg.VecVirtual {
	v := make([]uint32, 16)
	for i := range v {
		v[i] = bitsOf(float32(first + i))
	}
	return table(fmt.Sprintf("%s%d", name, first+16), 4, v...)
}

// table is a register of constants of size bytes each.
func table(name string, size int, values ...uint32) reg.VecVirtual {
	r := vreg()
	load(global(name, size, values...), r)
	return r
}

var globals = map[string]Mem{}

// global is constants of size (4 or 8) bytes each in memory.
func global(name string, size int, values ...uint32) Mem {
	if m, ok := globals[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range values {
		if size == 8 {
			DATA(8*i, U64(uint64(v)))
		} else {
			DATA(4*i, U32(v))
		}
	}
	globals[name] = m
	return m
}
