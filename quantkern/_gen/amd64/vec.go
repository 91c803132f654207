package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// wide is set while AVX-512 kernels are generated; otherwise AVX2.
var wide bool

// lanesPart is one register of a lanes value.
type lanesPart = reg.VecVirtual

// lanes is one vector of the sixteen float32 (or int32) lanes in which every
// reduction runs: one 512-bit register, or two of 256 bits, low lanes first.
type lanes []reg.VecVirtual

// bytesPerPart is the size of one register.
func bytesPerPart() int {
	if wide {
		return 64
	}
	return 32
}

func vreg() reg.VecVirtual {
	if wide {
		return ZMM()
	}
	return YMM()
}

func newLanes() lanes {
	l := make(lanes, 64/bytesPerPart())
	for i := range l {
		l[i] = vreg()
	}
	return l
}

func (l lanes) zero() lanes {
	for _, r := range l {
		zeroReg(r)
	}
	return l
}

func zeroReg(r reg.VecVirtual) {
	if wide {
		VPXORD(r, r, r)
	} else {
		VPXOR(r, r, r)
	}
}

func (l lanes) loadF32(m Mem) lanes {
	for i, r := range l {
		VMOVUPS(m.Offset(bytesPerPart()*i), r)
	}
	return l
}

func (l lanes) loadF16(m Mem) lanes {
	for i, r := range l {
		VCVTPH2PS(m.Offset(bytesPerPart()/2*i), r)
	}
	return l
}

func (l lanes) store(m Mem) {
	for i, r := range l {
		VMOVUPS(r, m.Offset(bytesPerPart()*i))
	}
}

// op3 applies a three-operand instruction lane by lane: dst = a op b, in the
// order of Go's assembler f(b, a, dst).
func op3(f func(...Op), b, a, dst lanes) {
	for i := range dst {
		f(b[i], a[i], dst[i])
	}
}

// broadcast gives every lane the float32 (or int32) at m.
func broadcast(m Mem) lanes {
	r := vreg()
	VBROADCASTSS(m, r)
	return repeat(r)
}

// repeat uses one register as every part of a lanes value that is only read.
func repeat(r reg.VecVirtual) lanes {
	l := make(lanes, 64/bytesPerPart())
	for i := range l {
		l[i] = r
	}
	return l
}

// constant gives every lane the same 32 bits.
func constant(bits uint32) lanes { return repeat(constantVia(GP32(), bits)) }

// constantVia is constant by way of a register.
func constantVia(t reg.Register, bits uint32) reg.VecVirtual {
	MOVL(U32(bits), t)
	x := XMM()
	VMOVD(t, x)
	r := vreg()
	VPBROADCASTD(x, r)
	return r
}

// fold8 folds sixteen lanes to eight: l + (l+8). It destroys l.
func (l lanes) fold8() reg.VecVirtual {
	y := YMM()
	if wide {
		VEXTRACTF64X4(U8(1), l[0], y)
		VADDPS(y, l[0].AsY(), y)
	} else {
		VADDPS(l[1], l[0], y)
	}
	return y
}

// upper moves the upper half of a 256-bit register to x.
func upper(y, x Op) {
	if wide {
		VEXTRACTF32X4(U8(1), y, x)
	} else {
		VEXTRACTF128(U8(1), y, x)
	}
}

// fold4 folds on to four lanes: l + (l+4).
func (l lanes) fold4() reg.VecVirtual {
	y := l.fold8()
	x := XMM()
	upper(y, x)
	VADDPS(y.AsX(), x, x)
	return x
}

// sum folds sixteen lanes to the sum of all, in element 0 of the result.
func (l lanes) sum() reg.VecVirtual {
	x := l.fold4()
	t := XMM()
	VMOVHLPS(x, x, t)
	VADDPS(t, x, x)
	VMOVSHDUP(x, t)
	VADDSS(t, x, x)
	return x
}

// sum4 folds four lanes values to one register of their four sums, each along
// the same tree as sum.
func sum4(a, b, c, d lanes) reg.VecVirtual {
	pair := func(p, q lanes) reg.VecVirtual {
		x, y := p.fold4(), q.fold4()
		lo, hi := XMM(), XMM()
		VMOVLHPS(y, x, lo) // x0 x1 y0 y1
		VMOVHLPS(x, y, hi) // x2 x3 y2 y3
		VADDPS(hi, lo, lo)
		return lo
	}
	x, y := pair(a, b), pair(c, d)
	even, odd := XMM(), XMM()
	VSHUFPS(U8(0x88), y, x, even)
	VSHUFPS(U8(0xdd), y, x, odd)
	VADDPS(odd, even, even)
	return even
}

// function begins a kernel.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
}

// arg is a parameter in a general register.
func arg(name string) reg.Register { return Load(Param(name), GP64()) }

// argMem is a parameter where it lies on the stack.
func argMem(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// loop emits body count times; count is consumed and may be zero.
func loop(label string, count reg.Register, body func()) {
	TESTQ(count, count)
	JZ(LabelRef(label + "_end"))
	Label(label)
	body()
	DECQ(count)
	JNZ(LabelRef(label))
	Label(label + "_end")
}

// rowsAt addresses up to nine rows that lie stride bytes apart, advancing
// together: from the first, the fourth and the seventh.
type rowsAt struct {
	bases  []reg.Register
	stride reg.Register
}

func newRowsAt(base, stride reg.Register, n int) rowsAt {
	p := rowsAt{bases: []reg.Register{base}, stride: stride}
	for n > 3*len(p.bases) {
		t := GP64()
		LEAQ(Mem{Base: stride, Index: stride, Scale: 2}, t)
		ADDQ(p.bases[len(p.bases)-1], t)
		p.bases = append(p.bases, t)
	}
	return p
}

func (p rowsAt) row(i, disp int) Mem {
	m := Mem{Base: p.bases[i/3], Disp: disp}
	if i %= 3; i > 0 {
		m.Index, m.Scale = p.stride, uint8(i)
	}
	return m
}

func (p rowsAt) advance(bytes int) {
	for _, b := range p.bases {
		ADDQ(I32(int32(bytes)), b)
	}
}
