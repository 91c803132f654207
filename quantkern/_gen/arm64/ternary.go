package main

import "fmt"

// layout is how a row of 2-bit codes lies in memory, 64 bytes (256 codes) a
// chunk: step bytes to the next chunk, and the shift that brings quarter q of
// the codes of each byte to its low bits.
type layout struct {
	name   string
	step   int
	shifts [4]int
}

var layouts = []layout{
	{"I2S", 64, [4]int{6, 4, 2, 0}},
	{"TQ2", 66, [4]int{0, 2, 4, 6}},
}

const tileRows = 4

// tile is the product of four rows of codes with n rows of activations: the
// code in quarter t of a block of 128 meets activation 32t..32t+31.
type tile struct {
	*kernel
	layout
	n    int
	w, a []greg
	acc  [][]vreg // [activation row][weight row], int32
	mask vreg
}

// ternary emits a tile; chunk writes the products of blocks (2, or 1 in the
// tail) of 128 codes, and fold what is left to do before the sums.
func (f *file) ternary(name string, l layout, n, split int, chunk func(t *tile, blocks int)) {
	doc := fmt.Sprintf("multiplies 4 rows of 2-bit codes with %d of activations.", n)
	params := []string{"dst *float32", "ldd uintptr", "w *byte", "ldw uintptr", "a *int8", "lda uintptr", "chunks uintptr", "tail uintptr",
		"sums *int32", "scales *float32", "scale float32", "next *byte", "step uintptr"}
	f.kernel(name, doc, "", params, func(k *kernel) {
		t := &tile{kernel: k, layout: l, n: n, w: k.rows("w", "ldw", tileRows), a: k.rows("a", "lda", n)}
		for range n {
			t.acc = append(t.acc, k.vec(tileRows*split))
			k.zero(t.acc[len(t.acc)-1]...)
		}
		t.mask = k.vec1()
		k.op("VMOVI $3, %v.B16", t.mask)
		chunks, tail, next, step := k.arg("chunks"), k.arg("tail"), k.arg("next"), k.arg("step")
		k.loop(chunks, func() {
			for r := range tileRows {
				k.op("PRFM %d(%v), PLDL1KEEP", 64*r, next)
			}
			k.op("ADD %v, %v, %v", step, next, next)
			chunk(t, 2)
			k.advance(l.step, t.w...)
			k.advance(256, t.a...)
		})
		k.when(tail, func() { chunk(t, 1) })
		t.finish(split)
	})
}

// codes extracts quarter q of the codes in v.
func (t *tile) codes(q int, v, u vreg) {
	switch shift := t.shifts[q]; shift {
	case 0:
		t.op("VAND %v.B16, %v.B16, %v.B16", t.mask, v, u)
	case 6:
		t.op("VUSHR $6, %v.B16, %v.B16", v, u)
	default:
		t.op("VUSHR $%d, %v.B16, %v.B16", shift, v, u)
		t.op("VAND %v.B16, %v.B16, %v.B16", t.mask, u, u)
	}
}

// activations loads those that the 16 bytes at 16h of the codes meet.
func (t *tile) activations(h int) (a [][]vreg) {
	for _, p := range t.a {
		row := t.vec(4)
		for q := range row {
			t.load(row[q], p, 128*(h/2)+32*q+16*(h%2))
		}
		a = append(a, row)
	}
	return a
}

// widening multiplies into int16 and adds these up to int32 once a chunk: 32
// products of at most 3·128 a lane stay below 2^15.
func widening(t *tile, blocks int) {
	t.scope(func() {
		v, u := t.vec1(), t.vec1()
		sum := make([][]vreg, t.n)
		for i := range sum {
			sum[i] = t.vec(tileRows)
		}
		for h := range 2 * blocks {
			t.scope(func() {
				a := t.activations(h)
				for r, w := range t.w {
					t.load(v, w, 16*h)
					for q := range t.shifts {
						t.codes(q, v, u)
						for i := range a {
							s, x := sum[i][r], a[i][q]
							if h == 0 && q == 0 {
								t.word(smull(s, u, x))
							} else {
								t.word(smlal(s, u, x))
							}
							t.word(smlal2(s, u, x))
						}
					}
				}
			})
		}
		for i := range sum {
			for r, s := range sum[i] {
				t.word(sadalp(t.acc[i][r], s))
			}
		}
	})
}

// dotting uses the dot-product instruction. With one row of activations two
// accumulators a row hide its latency.
func dotting(t *tile, blocks int) {
	t.scope(func() {
		v, u := t.vec1(), t.vec1()
		for h := range 2 * blocks {
			t.scope(func() {
				a := t.activations(h)
				for r, w := range t.w {
					t.load(v, w, 16*h)
					for q := range t.shifts {
						t.codes(q, v, u)
						for i, acc := range t.acc {
							t.word(sdot(acc[(r+tileRows*h)%len(acc)], u, a[i][q]))
						}
					}
				}
			})
		}
	})
}

// finish folds the accumulators and stores float32(dot - sum) / scale_i · scale.
func (t *tile) finish(split int) {
	dst, ldd, sums, scales, f := t.arg("dst"), t.arg("ldd"), t.arg("sums"), t.arg("scales"), t.splat("scale")
	s := t.vec1()
	for i, acc := range t.acc {
		if split == 2 {
			for r := range tileRows {
				t.op("VADD %v.S4, %v.S4, %v.S4", acc[r+tileRows], acc[r], acc[r])
			}
		}
		d := acc[0]
		t.op("VADDP %v.S4, %v.S4, %v.S4", acc[1], d, d)
		t.op("VADDP %v.S4, %v.S4, %v.S4", acc[3], acc[2], acc[2])
		t.op("VADDP %v.S4, %v.S4, %v.S4", acc[2], d, d)
		t.repeat(sums, s)
		t.op("VSUB %v.S4, %v.S4, %v.S4", s, d, d)
		t.repeat(scales, s)
		t.word(scvtf(d, d), fdiv(d, d, s), fmul(d, d, f))
		t.store(d, dst, 0)
		if i+1 < t.n {
			t.op("ADD %v, %v", ldd, dst)
			t.advance(4, sums, scales)
		}
	}
}

// ternaryAll emits the tiles of both layouts and instruction sets.
func (f *file) ternaryAll() {
	for _, l := range layouts {
		for n := 1; n <= 2; n++ {
			f.ternary(fmt.Sprintf("%sx%d", l.name, n), l, n, 1, widening)
			f.ternary(fmt.Sprintf("%sDotx%d", l.name, n), l, n, 3-n, dotting)
		}
	}
}

// quantize emits the second half of QuantizeRow: q = round(x·s) and Σ q.
func (f *file) quantize() {
	params := []string{"q *int8", "x *float32", "chunks uintptr", "tail uintptr", "s float32"}
	f.kernel("Quantize", "rounds x·s to int8, 256 values a chunk and 128 in the tail, and returns the sum.", "int32", params, func(k *kernel) {
		q, x, s, magic, sum := k.arg("q"), k.arg("x"), k.splat("s"), k.constant(roundMagic), k.vec1()
		k.zero(sum)
		n, tail := k.arg("chunks"), k.arg("tail")
		k.op("ADD %v<<1, %v, %v", n, tail, n)
		k.loop(n, func() {
			v := k.vec(4)
			for g := range 8 {
				k.load8("float32", x, 64*g, v[0], v[1])
				k.load8("float32", x, 64*g+32, v[2], v[3])
				for _, r := range v {
					k.word(fmul(r, r, s), fadd(r, r, magic))
					k.op("VSUB %v.S4, %v.S4, %v.S4", magic, r, r)
					k.op("VADD %v.S4, %v.S4, %v.S4", r, sum, sum)
				}
				k.op("VUZP1 %v.H8, %v.H8, %v.H8", v[1], v[0], v[0])
				k.op("VUZP1 %v.H8, %v.H8, %v.H8", v[3], v[2], v[2])
				k.op("VUZP1 %v.B16, %v.B16, %v.B16", v[2], v[0], v[0])
				k.store(v[0], q, 16*g)
			}
			k.advance(128, q)
			k.advance(512, x)
		})
		k.op("VADDV %v.S4, %v", sum, sum)
		k.op("FMOVS F%d, %s", sum, k.at("ret"))
	})
}
