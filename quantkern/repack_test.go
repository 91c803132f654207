package quantkern

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// ternaryBytes is a uniform matrix of random packed bytes, so with undefined
// codes where the layout has them.
func ternaryBytes(t testing.TB, name string, rows, cols int) *Ternary {
	t.Helper()
	c, r := mustLookup(t, name), rand.New(rand.NewPCG(60, uint64(rows*cols)))
	data := make([]byte, c.Size(rows, cols))
	for i := range data {
		data[i] = byte(r.UintN(256))
	}
	f32, f16 := []byte{0, 0, 0x40, 0x3f}, []byte{0, 0x3a} // 0.75
	switch {
	case c.BlockBytes == 0:
		copy(data[len(data)-i2sTail:], f32)
	case c.head > 0:
		for b := data; len(b) > 0; b = b[c.rowBytes(cols):] {
			copy(b, map[int][]byte{4: f32, 2: f16}[c.head])
		}
	default:
		for b := data; len(b) > 0; b = b[c.BlockBytes:] {
			copy(b[c.trits.scaleAt:], f16)
		}
	}
	w, err := NewTernary(c, data, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	if !w.Uniform || w.Scale != 0.75 {
		t.Fatalf("%s: uniform %t, scale %v", name, w.Uniform, w.Scale)
	}
	return w
}

// TestRepack compares trits and products of a matrix and its copy, and says
// when there must be one.
func TestRepack(t *testing.T) {
	for _, tier := range Tiers() {
		withTier(t, tier, func() {
			for _, name := range []string{"TQ1_0", "TQ2_0", "I2_S", "I2_S_B", "I2_S_C", "TL1", "TL2", "Q2_0", "Q2_0_128", "IQ1_BN", "IQ2_BN"} {
				for _, cols := range []int{64, 128, 192, 256, 384, 2560} {
					const rows = 32
					if mustLookup(t, name).Check(rows, cols) != nil {
						continue
					}
					w := ternaryBytes(t, name, rows, cols)
					packed, bytes, err := w.Repack(func(n int, fn func(lo, hi int)) error {
						fn(5, n)
						fn(0, 5)
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					what := fmt.Sprintf("%s of %d columns on %s", name, cols, tier)
					_, fast := active.tiles[name]
					worth := tier != "generic" && !fast && cols%128 == 0
					if !worth {
						if packed != w || bytes != 0 {
							t.Errorf("%s was copied", what)
						}
						continue
					}
					if packed.Codec.Name != "I2_S" || bytes != len(packed.Data) || packed.Scale != w.Scale {
						t.Fatalf("%s became %s with scale %v in %d bytes", what, packed.Codec.Name, packed.Scale, bytes)
					}
					want, got := make([]int8, cols), make([]int8, cols)
					for r := range rows {
						w.Trits(want, r)
						packed.Trits(got, r)
						if !slices.Equal(want, got) {
							t.Fatalf("%s: row %d has other trits", what, r)
						}
					}
					again, err := NewTernary(packed.Codec, packed.Data, rows, cols)
					if err != nil || again.Scale != w.Scale {
						t.Fatalf("%s: scale %v in the bytes (%v)", what, again.Scale, err)
					}
					for _, n := range []int{1, 3, 8} {
						x := normals(newRand(61), n*cols)
						product := func(w *Ternary) []float32 {
							var a Acts
							var s Scratch
							a.Reset(n, cols)
							for i := range n {
								a.Quantize(i, x[i*cols:(i+1)*cols])
							}
							dst := make([]float32, n*rows)
							MulTernary(dst, rows, w, 0, rows, &a, &s)
							return dst
						}
						wantSame(t, what, product(w), product(packed))
					}
				}
			}
		})
	}
}

// TestRepackKeeps: scales that differ from block to block stay, and what each
// reports is passed on.
func TestRepackKeeps(t *testing.T) {
	w := ternaryBytes(t, "Q2_0", 4, 256)
	w.Uniform = false
	if packed, bytes, err := w.Repack(nil); packed != w || bytes != 0 || err != nil {
		t.Errorf("a matrix with several scales was copied: %d bytes, %v", bytes, err)
	}
	if len(Tiers()) == 1 {
		t.Skip("plain Go repacks nothing")
	}
	withTier(t, Tiers()[0], func() {
		fault := errors.New("no such page")
		w.Uniform = true
		if _, _, err := w.Repack(func(int, func(lo, hi int)) error { return fault }); !errors.Is(err, fault) {
			t.Errorf("error %v, want %v", err, fault)
		}
	})
}
