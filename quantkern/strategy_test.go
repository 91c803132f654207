package quantkern

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestStrategyIsWhatRuns puts a spy in the place of every product kernel of
// each tier: that which Strategy names runs, and none where it says generic.
func TestStrategyIsWhatRuns(t *testing.T) {
	for _, name := range Tiers() {
		withTier(t, name, func() {
			real := active
			defer func() { active = real }()
			for _, typ := range []string{"I2_S", "TQ2_0", "TQ1_0", "F16", "F32", "Q8_0", "Q6_K"} {
				for _, shape := range []shape{{8, 256}, {8, 264}, {40, 256}} {
					c, rows, cols := mustLookup(t, typ), shape.rows, shape.cols
					if c.Check(rows, cols) != nil {
						continue
					}
					for _, n := range []int{1, 2, 3, 4, 7, 8, 13, 17, 33} {
						active = real
						r := rand.New(rand.NewPCG(1, uint64(n)))
						data := randomMatrix(t, r, c, rows, cols)
						var s Strategy
						if c.Ternary {
							w, err := NewTernary(c, data, rows, cols)
							if err != nil {
								t.Fatal(err)
							}
							s = w.Strategy(n)
						} else {
							s = DenseStrategy(c, data, rows, cols, n)
						}
						called := map[string]bool{}
						active = spied(real, called, data)
						multiply(t, make([]float32, rows*n), rows, c, data, rows, cols, normalsWithin(r, n*cols), n)
						if s.Kernel == generic.name && len(called) > 0 || s.Kernel != generic.name && !called[s.Kernel] {
							t.Errorf("%s on %s, %+v, %d rows: %+v, but called were %v", typ, name, shape, n, s, called)
						}
						if s.Kernel != generic.name && called[dataRead] != (s.Access == InPlace) {
							t.Errorf("%s on %s, %+v, %d rows: %+v, but the file's bytes were read by a kernel: %v", typ, name, shape, n, s, called[dataRead])
						}
						if s.Kernel != generic.name && !slices.Contains(append(extended[name], strings.TrimSuffix(name, "_dotprod")), packageOf(s.Kernel)) {
							t.Errorf("%s on %s: a kernel of another tier, %s", typ, name, s.Kernel)
						}
					}
				}
			}
		})
	}
}

func packageOf(kernel string) string {
	name, _, _ := strings.Cut(kernel, ".")
	return name
}

// extended are tiers that have but some kernels of their own, and where the others are from.
var extended = map[string][]string{"amx": {"avx512"}, "avxvnni": {"avx2"}}

// dataRead stands among the names of kernels for: one read the file's bytes.
const dataRead = "data"

// spied is a tier whose product kernels note that they were called.
func spied(real *tier, called map[string]bool, data []byte) *tier {
	note := func(name string, w *byte) {
		called[name] = true
		first := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
		if at := uintptr(unsafe.Pointer(w)); at >= first && at < first+uintptr(len(data)) {
			called[dataRead] = true
		}
	}
	spy := *real
	ternary := func(f ternaryTile) ternaryTile {
		if f == nil {
			return nil
		}
		return func(dst *float32, ldd uintptr, w *byte, ldw uintptr, a *int8, lda uintptr, chunks, tail uintptr, sums *int32, scales *float32, scale float32, next *byte, step uintptr) {
			note(kernelName(f), w)
			f(dst, ldd, w, ldw, a, lda, chunks, tail, sums, scales, scale, next, step)
		}
	}
	dense := func(f denseTile) denseTile {
		if f == nil {
			return nil
		}
		return func(dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx, blocks uintptr) {
			note(kernelName(f), w)
			f(dst, ldd, w, ldw, x, ldx, blocks)
		}
	}
	spy.tiles = map[string]tiles{}
	for codec, k := range real.tiles {
		s := tiles{row: ternary(k.row)}
		for _, f := range k.rows {
			s.rows = append(s.rows, ternary(f))
		}
		spy.tiles[codec] = s
	}
	spy.panels.unpack = map[string]unpackPanel{}
	for codec, f := range real.panels.unpack {
		spy.panels.unpack[codec] = func(dst, w *byte, ldw, chunks, tail uintptr, next *byte) {
			note(kernelName(f), w)
			f(dst, w, ldw, chunks, tail, next)
		}
	}
	spy.panels.few = map[string][2]fewPanel{}
	for codec, k := range real.panels.few {
		var s [2]fewPanel
		for i, f := range k {
			s[i] = func(dots *int32, a *int8, lda uintptr, w *byte, ldw, chunks uintptr, tiles *byte, rows uintptr) {
				note(kernelName(f), w)
				f(dots, a, lda, w, ldw, chunks, tiles, rows)
			}
		}
		spy.panels.few[codec] = s
	}
	spy.packed = map[string]packed{}
	for codec, p := range real.packed {
		s := p
		if p.stream != nil {
			s.stream = func(dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx, blocks uintptr) {
				note(p.streamName, w)
				p.stream(dst, ldd, w, ldw, x, ldx, blocks)
			}
		}
		spy.packed[codec] = s
	}
	for _, d := range []*denseTiles{&spy.dotF32, &spy.dotF16} {
		*d = denseTiles{dense(d.one), dense(d.x1), dense(d.x4)}
	}
	return &spy
}

// TestStrategyOfKeys: halves and floats are read where they lie, where there
// are kernels for the width.
func TestStrategyOfKeys(t *testing.T) {
	for _, name := range Tiers() {
		withTier(t, name, func() {
			for _, c := range []struct {
				typ     string
				dim     int
				kernels bool
				access  Access
			}{
				{"f32", 64, true, InPlace}, {"f32", 40, false, InPlace},
				{"f16", 64, true, InPlace}, {"f16", 40, false, Decoded},
				{"q8_0", 64, true, Decoded}, {"q4_0", 64, true, Decoded},
			} {
				kv, err := NewKVPages(c.typ, 1, 1, 1, c.dim, c.dim, nil)
				if err != nil {
					t.Fatal(err)
				}
				s := kv.Strategy()
				generically := name == "generic"
				if (s.Kernel == "generic") != (generically || !c.kernels) || s.Access != c.access && !(generically && c.typ == "f16") {
					t.Errorf("%s of %d on %s: %+v", c.typ, c.dim, name, s)
				}
			}
		})
	}
}
