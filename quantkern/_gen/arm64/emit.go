package main

import (
	"fmt"
	"strings"
)

// vreg is a vector register, greg a general one.
type (
	vreg int
	greg int
)

func (v vreg) String() string { return fmt.Sprintf("V%d", int(v)) }
func (r greg) String() string { return fmt.Sprintf("R%d", int(r)) }

// free lists the general registers a kernel may use. R16 and R17 belong to the
// linker, R18 to the operating system, R27 to the assembler, R28 to the
// scheduler, R29 and R30 to the frame.
var free = []greg{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23, 24, 25, 26}

const vectors = 32

// param is a parameter and its place on the stack.
type param struct {
	name, kind string
	offset     int
}

// sizes of the parameter types that are not pointers.
var sizes = map[string]int{"uintptr": 8, "uint64": 8, "float64": 8, "float32": 4, "int32": 4, "uint32": 4}

// file collects the kernels of a package: assembly and Go declarations.
type file struct{ asm, stubs strings.Builder }

// kernel is one assembly function being written. Registers are handed out in
// ascending order and given back by scope.
type kernel struct {
	f      *file
	params []param
	v, r   int
	labels int
}

// kernel begins the function name(params) result, where params are "name type"
// and result is empty or a type; body writes it and RET follows.
func (f *file) kernel(name, doc, result string, params []string, body func(k *kernel)) {
	k := &kernel{f: f}
	offset := 0
	place := func(name, kind string) {
		size := 8
		if kind[0] != '*' {
			size = sizes[kind]
		}
		offset = (offset + size - 1) &^ (size - 1)
		k.params = append(k.params, param{name, kind, offset})
		offset += size
	}
	for _, p := range params {
		n, kind, _ := strings.Cut(p, " ")
		place(n, kind)
	}
	if result != "" {
		offset = (offset + 7) &^ 7
		place("ret", result)
		result = " " + result
	}
	fmt.Fprintf(&f.stubs, "\n// %s %s\n//\n//go:noescape\nfunc %s(%s)%s\n", name, doc, name, strings.Join(params, ", "), result)
	fmt.Fprintf(&f.asm, "\n// func %s(%s)%s\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, strings.Join(params, ", "), result, name, offset)
	body(k)
	k.op("RET")
}

// op writes an instruction of Go's assembler.
func (k *kernel) op(format string, a ...any) {
	fmt.Fprintf(&k.f.asm, "\t"+format+"\n", a...)
}

// word writes instructions that Go's assembler lacks.
func (k *kernel) word(is ...instr) {
	for _, i := range is {
		k.op("WORD $0x%08x // %s", i.bits, i.text)
	}
}

// vec hands out n vector registers.
func (k *kernel) vec(n int) []vreg {
	if k.v+n > vectors {
		panic("out of vector registers")
	}
	r := make([]vreg, n)
	for i := range r {
		r[i] = vreg(k.v + i)
	}
	k.v += n
	return r
}

func (k *kernel) vec1() vreg { return k.vec(1)[0] }

func (k *kernel) general() greg {
	if k.r == len(free) {
		panic("out of general registers")
	}
	k.r++
	return free[k.r-1]
}

// scope gives the registers that body took back after it.
func (k *kernel) scope(body func()) {
	v, r := k.v, k.r
	body()
	k.v, k.r = v, r
}

// at is where a parameter lies.
func (k *kernel) at(name string) string {
	for _, p := range k.params {
		if p.name == name {
			return fmt.Sprintf("%s+%d(FP)", name, p.offset)
		}
	}
	panic("no parameter " + name)
}

// arg loads a pointer or uintptr.
func (k *kernel) arg(name string) greg {
	r := k.general()
	k.op("MOVD %s, %v", k.at(name), r)
	return r
}

// splat loads a float32 parameter into all lanes.
func (k *kernel) splat(name string) vreg {
	v := k.vec1()
	k.op("FMOVS %s, F%d", k.at(name), v)
	k.op("VDUP %v.S[0], %v.S4", v, v)
	return v
}

// constant puts 32 bits into all lanes.
func (k *kernel) constant(bits uint32) vreg {
	v := k.vec1()
	k.scope(func() {
		r := k.general()
		k.op("MOVD $0x%x, %v", bits, r)
		k.op("VDUP %v, %v.S4", r, v)
	})
	return v
}

// repeat gives all lanes the 32 bits at p.
func (k *kernel) repeat(p greg, v vreg) { k.op("VLD1R (%v), [%v.S4]", p, v) }

func (k *kernel) zero(vs ...vreg) {
	for _, v := range vs {
		k.op("VEOR %v.B16, %v.B16, %v.B16", v, v, v)
	}
}

func (k *kernel) load(v vreg, p greg, offset int)  { k.op("FMOVQ %d(%v), F%d", offset, p, v) }
func (k *kernel) store(v vreg, p greg, offset int) { k.op("FMOVQ F%d, %d(%v)", v, offset, p) }

// load8 loads eight values of type elem as float32.
func (k *kernel) load8(elem string, p greg, offset int, lo, hi vreg) {
	if elem == "uint16" {
		k.load(lo, p, offset)
		k.word(fcvtl2(hi, lo), fcvtl(lo, lo))
		return
	}
	k.op("FLDPQ %d(%v), (F%d, F%d)", offset, p, lo, hi)
}

func (k *kernel) store8(p greg, offset int, lo, hi vreg) {
	k.op("FSTPQ (F%d, F%d), %d(%v)", lo, hi, offset, p)
}

func (k *kernel) advance(bytes int, ps ...greg) {
	for _, p := range ps {
		k.op("ADD $%d, %v", bytes, p)
	}
}

// loop writes body to run count times, which may be none.
func (k *kernel) loop(count greg, body func()) {
	k.when(count, func() {
		k.labels++
		label := fmt.Sprintf("loop%d", k.labels)
		fmt.Fprintf(&k.f.asm, "%s:\n", label)
		k.scope(body)
		k.op("SUB $1, %v", count)
		k.op("CBNZ %v, %s", count, label)
	})
}

// when writes body to run unless r is 0.
func (k *kernel) when(r greg, body func()) {
	k.labels++
	label := fmt.Sprintf("skip%d", k.labels)
	k.op("CBZ %v, %s", r, label)
	k.scope(body)
	fmt.Fprintf(&k.f.asm, "%s:\n", label)
}

// rows loads a pointer to the first of n rows, stride bytes apart, and derives
// the others.
func (k *kernel) rows(base, stride string, n int) []greg {
	p := make([]greg, n)
	p[0] = k.arg(base)
	if n == 1 {
		return p
	}
	for i := range p[1:] {
		p[i+1] = k.general()
	}
	k.scope(func() {
		s := k.arg(stride)
		for i := range p[1:] {
			k.op("ADD %v, %v, %v", s, p[i], p[i+1])
		}
	})
	return p
}
