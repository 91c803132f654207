package quantkern

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// nibbleScales are sorts of scales of blocks, as f16.
var nibbleScales = map[string]func(r *rand.Rand) uint16{
	"normal":    func(r *rand.Rand) uint16 { return F32ToF16(float32(r.NormFloat64()) * 0.01) },
	"subnormal": func(r *rand.Rand) uint16 { return uint16(r.IntN(1<<10)) | uint16(r.IntN(2))<<15 },
	"huge":      func(r *rand.Rand) uint16 { return 0x7bff - uint16(r.IntN(9)) | uint16(r.IntN(2))<<15 },
	"zero":      func(r *rand.Rand) uint16 { return uint16(r.IntN(2)) << 15 },
	"any":       func(r *rand.Rand) uint16 { return uint16(r.IntN(31<<10)) | uint16(r.IntN(2))<<15 }, // but Inf and NaN
	"equal":     func(*rand.Rand) uint16 { return 0x2000 },
}

// nibbleCodes are sorts of bytes of two nibbles.
var nibbleCodes = map[string]func(r *rand.Rand) byte{
	"any":     func(r *rand.Rand) byte { return byte(r.Uint32()) },
	"all 0":   func(*rand.Rand) byte { return 0 },
	"all 15":  func(*rand.Rand) byte { return 0xff },
	"all 8":   func(*rand.Rand) byte { return 0x88 },
	"0 or 15": func(r *rand.Rand) byte { return byte(r.IntN(2)*15 | r.IntN(2)*0xf0) },
	"7 to 9":  func(r *rand.Rand) byte { return byte(7 + r.IntN(3) | (7+r.IntN(3))<<4) },
}

// nibbleInputs are sorts of activations.
var nibbleInputs = map[string]func(r *rand.Rand, i int) float64{
	"normal":   func(r *rand.Rand, _ int) float64 { return r.NormFloat64() },
	"equal":    func(*rand.Rand, int) float64 { return 1 }, // all at the largest y
	"signs":    func(_ *rand.Rand, i int) float64 { return float64(1 - 2*(i%2)) },
	"integers": func(r *rand.Rand, _ int) float64 { return math.Round(2 * r.NormFloat64()) },
	"outlier": func(r *rand.Rand, i int) float64 {
		if i%97 == 5 {
			return 300 * r.NormFloat64()
		}
		return r.NormFloat64()
	},
	"halves": func(r *rand.Rand, _ int) float64 { return float64(r.IntN(1000)) + 0.5 }, // farthest from the steps
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// drawNibbleCase draws a matrix of Q4_0, rows of which may repeat, and
// activations.
func drawNibbleCase(t *rapid.T) screenCase {
	draw := func(what string, keys []string) string { return rapid.SampledFrom(keys).Draw(t, what) }
	c := screenCase{
		codec: lookup(t, "Q4_0"),
		rows:  rapid.IntRange(1, 150).Draw(t, "rows"),
		cols:  splitValues * rapid.SampledFrom([]int{1, 2, 3, 5, 8, 20}).Draw(t, "chunks"),
		n:     rapid.IntRange(1, 9).Draw(t, "n"),
	}
	scale, code := nibbleScales[draw("scales", sortedKeys(nibbleScales))], nibbleCodes[draw("codes", sortedKeys(nibbleCodes))]
	input := nibbleInputs[draw("inputs", sortedKeys(nibbleInputs))]
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
	c.data = make([]byte, c.codec.Size(c.rows, c.cols))
	for block := c.data; len(block) > 0; block = block[nibbleBytes:] {
		binary.LittleEndian.PutUint16(block, scale(r))
		for i := range nibbleBytes - 2 {
			block[2+i] = code(r)
		}
	}
	if size := c.codec.rowBytes(c.cols); rapid.Bool().Draw(t, "twins") {
		for i := size; i+size <= len(c.data); i += 2 * size {
			copy(c.data[i:i+size], c.data[i-size:i]) // ties, or nearly
			c.data[i+5] ^= byte(r.IntN(2))
		}
	}
	c.x = make([]float32, c.n*c.cols)
	size := math.Ldexp(1, rapid.IntRange(-30, 30).Draw(t, "size"))
	for i := range c.x {
		c.x[i] = float32(input(r, i) * size)
	}
	return c
}

// inPlace makes a Screen in place.
func (c *screenCase) inPlace(t testingT) *Screen {
	t.Helper()
	s, err := NewScreenInPlace(c.codec, c.data, c.rows, c.cols)
	if err != nil {
		t.Fatal(err)
	}
	var scratch Scratch
	if err := s.Fill(c.codec, c.data, 0, c.rows, &scratch); err != nil {
		t.Fatal(err)
	}
	if want := ScreenInPlaceBytes(c.rows); want != 4*len(s.norms) {
		t.Fatalf("ScreenInPlaceBytes says %d of %d norms", want, len(s.norms))
	}
	return s
}

// bounds are the upper bounds of all rows with all activation rows.
func (c *screenCase) bounds(s *Screen) (upper []float32, a *ScreenActs, ok []bool) {
	a = new(ScreenActs)
	a.ResetFor(s, c.n)
	ok = make([]bool, c.n)
	for i := range ok {
		ok[i] = a.Quantize(i, c.row(i))
	}
	stride := s.Groups() * screenRows
	upper = make([]float32, c.n*stride)
	const groups = 5
	for g := 0; g < s.Groups(); g += groups {
		s.Upper(upper[g*screenRows:], stride, g, min(g+groups, s.Groups()), a, eightBits)
	}
	return upper, a, ok
}

// TestNibbleTiers: every tier computes the norms and bounds of the reference,
// bit for bit, however many rows of weights and of activations there are.
func TestNibbleTiers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawNibbleCase(t)
		var norms, want []float32
		for _, tier := range append([]string{"generic"}, Tiers()...) {
			restore, err := UseTier(tier)
			if err != nil {
				t.Fatal(err)
			}
			s := c.inPlace(t)
			got, _, _ := c.bounds(s)
			restore()
			if want == nil {
				norms, want = s.norms, got
			}
			if !equalBits(norms, s.norms) || !equalBits(want, got) {
				t.Fatalf("%s has other norms or bounds than the reference", tier)
			}
		}
	})
}

// TestNibbleDots: the bound without its width is the product of the weights
// with the rounded activations, but for the rounding of float sums.
func TestNibbleDots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawNibbleCase(t)
		s := c.inPlace(t)
		upper, a, ok := c.bounds(s)
		w := make([]float32, c.cols)
		for i := range c.n {
			if !ok[i] {
				continue
			}
			step := float64(a.Step(i, eightBits))
			for r := range c.rows {
				c.codec.Decode(w, c.data, c.rows, c.cols, r)
				var sum, size float64
				for j, v := range w {
					p := float64(v) * math.RoundToEven(float64(c.row(i)[j])/step)
					sum, size = sum+p, size+math.Abs(p)
				}
				got := float64(upper[i*s.Groups()*screenRows+r]) - float64(s.norms[r]*a.fine.widths[2*i+1])
				if most := 0x1p-18*size + 0x1p-22*float64(s.norms[r]*a.fine.widths[2*i+1]); !(math.Abs(got-sum) <= most) {
					t.Fatalf("row %d, activations %d: %v, want %v within %v", r, i, got, sum, most)
				}
			}
		}
	})
}

// TestNibbleBounds: each bound holds for the exact float32 product as a real
// number, compared without rounding.
func TestNibbleBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawNibbleCase(t)
		s, logits := c.inPlace(t), c.logits()
		upper, a, ok := c.bounds(s)
		for i := range c.n {
			if !ok[i] {
				continue
			}
			real := func(bound float32) *big.Float {
				return new(big.Float).SetPrec(200).Mul(big.NewFloat(float64(bound)), big.NewFloat(float64(a.Step(i, eightBits))))
			}
			for r := range c.rows {
				up, d := upper[i*s.Groups()*screenRows+r], big.NewFloat(float64(logits[i*c.rows+r]))
				if low := s.lower(r, up, a.fine.widths[2*i:], eightBits); real(up).Cmp(d) < 0 || real(low).Cmp(d) > 0 {
					t.Fatalf("row %d: %v is not within [%v, %v] steps of %v", r, d, low, up, a.Step(i, eightBits))
				}
			}
		}
	})
}

// TestNibbleWidth: the norm is that of the weights and not much more, and of the width
// the error of the activations and the roundings are accounted for one by one.
func TestNibbleWidth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawNibbleCase(t)
		s := c.inPlace(t)
		_, a, ok := c.bounds(s)
		square := func(x float64) *big.Float {
			v := new(big.Float).SetPrec(300).SetFloat64(x)
			return v.Mul(v, v)
		}
		w := make([]float32, c.cols)
		for r := range c.rows {
			c.codec.Decode(w, c.data, c.rows, c.cols, r)
			sum := new(big.Float).SetPrec(300)
			for _, v := range w {
				sum.Add(sum, square(float64(v)))
			}
			norm := square(float64(s.norms[r]))
			most := new(big.Float).Mul(sum, big.NewFloat(1+0x1p-19))
			most.Add(most, square(floorNorm))
			if norm.Cmp(sum) < 0 || norm.Cmp(most) > 0 {
				t.Fatalf("row %d: the norm is %v, its square should be %v", r, s.norms[r], sum)
			}
		}
		for i := range c.n {
			if !ok[i] {
				continue
			}
			step, norm, miss := float64(a.Step(i, eightBits)), 0.0, 0.0
			for _, v := range c.row(i) {
				x := float64(v)
				d := x - step*math.RoundToEven(x/step)
				norm, miss = norm+x*x, miss+d*d
			}
			norm, miss = math.Sqrt(norm)/step, math.Sqrt(miss)/step
			gamma := (float64(c.cols/Lanes) + 5) * unit
			least := miss + gamma*norm + (gamma+4*unit)*(norm+miss)
			if width := float64(a.fine.widths[2*i+1]); width < least || width > 1.001*least+16*unit*norm {
				t.Fatalf("activations %d: width %v, at least %v", i, width, least)
			}
		}
	})
}

// TestNibbleSplit: a split row says what was quantized, no lane's integers are
// beyond what float32 holds, and the parts are int8.
func TestNibbleSplit(t *testing.T) {
	for y := -splitMost; y <= splitMost; y++ {
		split := make([]byte, splitBytes)
		j := (y + splitMost) % splitValues
		putSplit(split, j, int32(y))
		p, half := j/nibbleValues*16+j%16, j%32/16*splitHalf
		if got := splitAt(split, half+p); got != int32(y) {
			t.Fatalf("%d is kept as %d", y, got)
		}
		if base := int32(binary.LittleEndian.Uint32(split[splitBase+4*(p/4):])); base != int32(-8*y) {
			t.Fatalf("the base of %d is %d", y, base)
		}
		split[half+p], split[2*splitHalf+half+p] = 0, 0
		clear(split[splitBase+4*(p/4):][:4])
		if slices.Max(split) != 0 {
			t.Fatalf("value %d leaves traces elsewhere", j)
		}
	}
	if most := 8 * 8 * splitMost; most >= 1<<24 {
		t.Errorf("a lane may hold %d", most)
	}
}

// TestNibblesFindTheLargest: the rows left, multiplied exactly, hold the top k
// with the bits of the whole product.
func TestNibblesFindTheLargest(t *testing.T) {
	separated, total := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		c := drawNibbleCase(t)
		k, workers := rapid.IntRange(1, min(40, c.rows)).Draw(t, "k"), rapid.IntRange(1, 3).Draw(t, "workers")
		known := rapid.Bool().Draw(t, "known")
		s, logits := c.inPlace(t), c.logits()
		upper, a, ok := c.bounds(s)
		stride := s.Groups() * screenRows
		var scratch Scratch
		for i := range c.n {
			if !ok[i] {
				continue
			}
			lists := make([]Shortlist, workers)
			for j := range lists {
				lists[j].Reset(k)
			}
			for g := range s.Groups() {
				lists[g%workers].Offer(s, a, eightBits, i, g*screenRows, upper[i*stride+g*screenRows:][:screenRows])
			}
			list := &lists[0]
			for j := 1; j < workers; j++ {
				list.Merge(&lists[j])
			}
			if known {
				least := float32(math.Inf(1))
				for _, id := range list.Best(nil) {
					least = min(least, DotRow(c.codec, c.data, c.rows, c.cols, int(id), c.row(i), &scratch))
				}
				list.Know(least, a.Step(i, eightBits))
			}
			ids := list.Rows()
			total += c.rows
			separated += c.rows - len(ids)
			c.sameTop(t, "in place", i, k, ids, logits, &scratch)
		}
	})
	t.Logf("%d of %d rows were ruled out", separated, total)
	if separated*4 < total {
		t.Errorf("screening ruled out %d of %d rows: the bounds are of no use", separated, total)
	}
}

// TestNibblesRefuse: rows without bounds, and matrices of another kind, are
// told.
func TestNibblesRefuse(t *testing.T) {
	c := screenCase{codec: mustLookup(t, "Q4_0"), rows: 6, cols: 2 * splitValues}
	for _, bad := range []uint16{0x7c00, 0xfc00, 0x7e01} {
		c.data = make([]byte, c.codec.Size(c.rows, c.cols))
		for i := range c.data {
			c.data[i] = 0x11
		}
		binary.LittleEndian.PutUint16(c.data[4*c.codec.rowBytes(c.cols)+3*nibbleBytes:], bad)
		s, err := NewScreenInPlace(c.codec, c.data, c.rows, c.cols)
		if err != nil {
			t.Fatal(err)
		}
		var scratch Scratch
		if err := s.Fill(c.codec, c.data, 0, 4, &scratch); err != nil {
			t.Errorf("rows before the bad one: %v", err)
		}
		if err := s.Fill(c.codec, c.data, 4, 6, &scratch); !errors.Is(err, ErrUnscreenable) {
			t.Errorf("scale %#x: error %v", bad, err)
		}
	}
	for _, other := range []struct {
		name             string
		rows, cols, size int
	}{{"Q4_1", 4, 128, 1 << 10}, {"Q4_0", 4, 96, 1 << 10}, {"Q4_0", 0, 128, 0}, {"Q4_0", 4, 0, 0}, {"Q4_0", 4, 128, 4*72 - 1}} {
		codec := mustLookup(t, other.name)
		if _, err := NewScreenInPlace(codec, make([]byte, other.size), other.rows, other.cols); !errors.Is(err, ErrUnscreenable) {
			t.Errorf("%+v: error %v", other, err)
		}
	}
	for _, tier := range Tiers() {
		withTier(t, tier, func() {
			if got, want := ScreensInPlace(c.codec, c.cols), tier == "avx512" || tier == "amx"; got != want {
				t.Errorf("%s screens in place: %v", tier, got)
			}
		})
	}
}

// BenchmarkNibbles bounds rows that no cache holds, and reads their norms.
func BenchmarkNibbles(b *testing.B) {
	const rows, cols = 32768, 2560
	rng, c := newRand(46), mustLookup(b, "Q4_0")
	data := randomBlocks(rng, c, rows, cols, true)
	s, err := NewScreenInPlace(c, data, rows, cols)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fill", func(b *testing.B) {
		var scratch Scratch
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := s.Fill(c, data, 0, rows, &scratch); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("upper/%d", n), func(b *testing.B) {
			var a ScreenActs
			a.ResetFor(s, n)
			for i := range n {
				a.Quantize(i, floats(rng, cols))
			}
			const groups = 16
			upper := make([]float32, n*groups*screenRows)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				for g := 0; g < s.Groups(); g += groups {
					s.Upper(upper, groups*screenRows, g, g+groups, &a, eightBits)
				}
			}
		})
	}
}
