package main

import "fmt"

// elements are the types of dense weights, keys and values.
var elements = []struct {
	elem, name string
	size       int
}{{"float32", "F32", 4}, {"uint16", "F16", 2}}

// The sixteen lanes of a reduction are four registers, low lanes first.

// fold4 adds lanes up as l+8 and l+4; four are left in the first register.
func (k *kernel) fold4(acc []vreg) vreg {
	k.word(fadd(acc[0], acc[0], acc[2]), fadd(acc[1], acc[1], acc[3]), fadd(acc[0], acc[0], acc[1]))
	return acc[0]
}

// sum folds the lanes to element 0 of the result.
func (k *kernel) sum(acc []vreg) vreg {
	s, t := k.fold4(acc), acc[1]
	k.op("VEXT $8, %v.B16, %v.B16, %v.B16", s, s, t)
	k.word(fadd(s, s, t), foldFaddS(s, s))
	return s
}

// sum4 folds four times the lanes to one register of four sums, each along the
// tree of sum.
func (k *kernel) sum4(acc [][]vreg) vreg {
	pair := func(a, b []vreg) vreg {
		x, y, t := k.fold4(a), k.fold4(b), a[1]
		k.op("VZIP1 %v.D2, %v.D2, %v.D2", y, x, t) // x0 x1 y0 y1
		k.op("VZIP2 %v.D2, %v.D2, %v.D2", y, x, x) // x2 x3 y2 y3
		k.word(fadd(x, t, x))
		return x
	}
	x, y := pair(acc[0], acc[1]), pair(acc[2], acc[3])
	k.word(faddp(x, x, y))
	return x
}

// dot emits the products of 1 or 4 rows of weights with a row of activations.
func (f *file) dot(name, elem string, size, rows int) {
	doc := fmt.Sprintf("multiplies %d of %s with activations, 16 values a block, products rounded.", rows, elem)
	params := []string{"dst *float32", "ldd uintptr", "w *byte", "ldw uintptr", "x *float32", "ldx uintptr", "blocks uintptr"}
	f.kernel(name, doc, "", params, func(k *kernel) {
		w, x := k.rows("w", "ldw", rows), k.arg("x")
		acc := make([][]vreg, rows)
		for r := range acc {
			acc[r] = k.vec(4)
			k.zero(acc[r]...)
		}
		k.loop(k.arg("blocks"), func() {
			xv, wv := k.vec(2), k.vec(2)
			for half := range 2 {
				k.load8("float32", x, 32*half, xv[0], xv[1])
				for r, p := range w {
					k.load8(elem, p, 8*size*half, wv[0], wv[1])
					for i := range wv {
						a := acc[r][2*half+i]
						k.word(fmul(wv[i], wv[i], xv[i]), fadd(a, a, wv[i]))
					}
				}
			}
			k.advance(16*size, w...)
			k.advance(64, x)
		})
		dst := k.arg("dst")
		if rows == 4 {
			k.store(k.sum4(acc), dst, 0)
		} else {
			k.op("FMOVS F%d, (%v)", k.sum(acc[0]), dst)
		}
	})
}

// weighted emits dst += Σ p[i]·row i of v, in ascending order of i.
func (f *file) weighted(name, elem string, size, blocks int) {
	doc := fmt.Sprintf("adds n weighted rows of %d values of %s, ldv bytes apart, to dst.", 16*blocks, elem)
	params := []string{"dst *float32", "v *" + elem, "ldv uintptr", "p *float32", "n uintptr"}
	f.kernel(name, doc, "", params, func(k *kernel) {
		dst, v, ldv, p := k.arg("dst"), k.arg("v"), k.arg("ldv"), k.arg("p")
		acc := k.vec(4 * blocks)
		for j := 0; j < len(acc); j += 2 {
			k.load8("float32", dst, 16*j, acc[j], acc[j+1])
		}
		k.loop(k.arg("n"), func() {
			weight, t := k.vec1(), k.vec(2)
			k.repeat(p, weight)
			for j := 0; j < len(acc); j += 2 {
				k.load8(elem, v, 4*size*j, t[0], t[1])
				for i := range t {
					k.word(fmul(t[i], t[i], weight), fadd(acc[j+i], acc[j+i], t[i]))
				}
			}
			k.op("ADD %v, %v", ldv, v)
			k.advance(4, p)
		})
		for j := 0; j < len(acc); j += 2 {
			k.store8(dst, 16*j, acc[j], acc[j+1])
		}
	})
}

func (f *file) dotAll() {
	for _, e := range elements {
		f.dot("Dot"+e.name, e.elem, e.size, 1)
		f.dot("Dot"+e.name+"x1", e.elem, e.size, 4)
		f.weighted("Weighted"+e.name+"x1", e.elem, e.size, 1)
		f.weighted("Weighted"+e.name+"x4", e.elem, e.size, 4)
	}
}
