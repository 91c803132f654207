package quantkern

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestMulBlocks compares matrices whose blocks have scales of their own with
// the copies that Repack makes of them: the same bits, for whole matrices and ranges
// of rows, and the memory that was announced.
func TestMulBlocks(t *testing.T) {
	for _, tier := range Tiers() {
		withTier(t, tier, func() {
			for _, name := range []string{"TQ1_0", "TQ2_0", "Q2_0", "Q2_0_128", "IQ2_BN"} {
				for _, cols := range []int{256, 384, 1280} {
					const rows = 23
					c := mustLookup(t, name)
					if c.Check(rows, cols) != nil {
						continue
					}
					r := rand.New(rand.NewPCG(4, uint64(cols)))
					data := make([]byte, c.Size(rows, cols))
					src := TritSource{Rows: rows, Cols: cols, Group: c.BlockValues,
						Trits: func(dst []int8, _ int) error {
							for i := range dst {
								dst[i] = int8(r.IntN(3) - 1)
							}
							return nil
						},
						Scales: func(dst []float32, row int) {
							for i := range dst {
								if dst[i] = F16ToF32(uint16(0x2000 + r.IntN(0x1000))); c.head > 0 {
									dst[i] = float32(row + 1)
								}
							}
						}}
					if err := c.EncodeTernary(data, src, nil); err != nil {
						t.Fatal(err)
					}
					w, err := NewTernary(c, data, rows, cols)
					if err != nil {
						t.Fatal(err)
					}
					packed, bytes, err := w.Repack(nil)
					if err != nil {
						t.Fatal(err)
					}
					what := fmt.Sprintf("%s of %d columns on %s", name, cols, tier)
					worth := tier != "generic" && (name == "TQ1_0" || name == "TQ2_0" || name == "Q2_0_128")
					if (packed != w) != worth || bytes != w.RepackBytes() || worth && (packed.Uniform || bytes != len(packed.Data)+4*len(packed.blockScales)) {
						t.Fatalf("%s: copied %v, %d bytes, announced %d", what, packed != w, bytes, w.RepackBytes())
					}
					if s := w.LoadedStrategy(3); worth != (s.Access == Copied) {
						t.Errorf("%s: %+v", what, s)
					}
					for _, n := range []int{1, 2, 5, 6, 7, 13} {
						x := normals(newRand(61), n*cols)
						product := func(w *Ternary, cuts ...int) []float32 {
							var a Acts
							var s Scratch
							a.Reset(n, cols)
							for i := range n {
								a.Quantize(i, x[i*cols:(i+1)*cols])
							}
							dst := make([]float32, n*rows)
							for i := range cuts[1:] {
								MulTernary(dst, rows, w, cuts[i], cuts[i+1], &a, &s)
							}
							return dst
						}
						want := product(w, 0, rows)
						wantSame(t, what, want, product(packed, 0, rows))
						wantSame(t, what+", in pieces", want, product(packed, 0, 3, 11, 20, rows))
					}
				}
			}
		})
	}
}

func BenchmarkMulBlocks(b *testing.B) {
	w := ternaryBytes(b, "Q2_0_128", 2560, 2560)
	w.Uniform = false
	packed, _, err := w.Repack(nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, w := range map[string]*Ternary{"in place": w, "repacked": packed} {
		b.Run(name, func(b *testing.B) {
			var a Acts
			var s Scratch
			a.Reset(1, 2560)
			a.Quantize(0, normals(newRand(61), 2560))
			dst := make([]float32, 2560)
			for b.Loop() {
				MulTernary(dst, 2560, w, 0, 2560, &a, &s)
			}
		})
	}
}
