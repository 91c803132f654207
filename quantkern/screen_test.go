package quantkern

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// screenCase is a matrix and activation rows.
type screenCase struct {
	codec      *Codec
	data       []byte
	rows, cols int
	x          []float32 // [n, cols]
	n          int
}

// screenKinds are sorts of rows, given a generator and the row's number.
var screenKinds = map[string]func(r *rand.Rand, row, col int) float32{
	"normal": func(r *rand.Rand, _, _ int) float32 { return float32(r.NormFloat64()) * 0.02 },
	"equal rows": func(_ *rand.Rand, _, col int) float32 {
		return float32(col%7)*0.25 - 0.5
	},
	// Rows that differ in the last bit of one f16 value, or not at all.
	"last bit": func(_ *rand.Rand, row, col int) float32 {
		v := F32ToF16(float32(col%11)*0.125 + 0.3)
		if col == row%5 {
			v ^= uint16(row & 1)
		}
		return F16ToF32(v)
	},
	"mixed norms": func(r *rand.Rand, row, _ int) float32 {
		return float32(r.NormFloat64() * math.Ldexp(1, row%25-14))
	},
	"denormal": func(r *rand.Rand, _, _ int) float32 { return float32(r.NormFloat64() * 0x1p-22) },
	// Codes that six bits miss the most.
	"edges": func(r *rand.Rand, row, col int) float32 {
		if col == 0 {
			return codeMost
		}
		return float32(4*(r.IntN(62)-31) + 3*((row+col)%2))
	},
	"sparse": func(r *rand.Rand, row, _ int) float32 {
		if row%3 == 0 || r.IntN(9) > 0 {
			return 0
		}
		return float32(r.NormFloat64())
	},
	"outliers": func(r *rand.Rand, _, _ int) float32 {
		v := float32(r.NormFloat64())
		if r.IntN(100) == 0 {
			v *= 100
		}
		return v
	},
	// Small multiples of powers of two: exact ties abound.
	"ties": func(r *rand.Rand, _, _ int) float32 { return float32(r.IntN(3)-1) * 0.5 },
}

func drawScreenCase(t *rapid.T) screenCase {
	c := screenCase{
		codec: lookup(t, rapid.SampledFrom([]string{"F16", "F16", "F32", "BF16", "Q8_0"}).Draw(t, "type")),
		rows:  rapid.IntRange(1, 300).Draw(t, "rows"),
		cols:  rapid.SampledFrom([]int{1, 5, 16, 31, 32, 64, 96, 128, 160, 576}).Draw(t, "cols"),
		n:     rapid.IntRange(1, 9).Draw(t, "n"),
	}
	if c.cols%c.codec.BlockValues != 0 {
		c.cols = 64
	}
	names := make([]string, 0, len(screenKinds))
	for name := range screenKinds {
		names = append(names, name)
	}
	slices.Sort(names)
	kind := screenKinds[rapid.SampledFrom(names).Draw(t, "kind")]
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	w := make([]float32, c.rows*c.cols)
	for i := range w {
		w[i] = kind(r, i/c.cols, i%c.cols)
	}
	c.data = make([]byte, c.codec.Size(c.rows, c.cols))
	if err := c.codec.Encode(c.data, w, c.rows, c.cols); err != nil {
		t.Fatal(err)
	}
	c.x = make([]float32, c.n*c.cols)
	size := math.Ldexp(1, rapid.IntRange(-30, 30).Draw(t, "size"))
	ints := rapid.Bool().Draw(t, "integers")
	for i := range c.x {
		v := r.NormFloat64()
		if ints {
			v = math.Round(v)
		}
		if r.IntN(50) == 0 {
			v *= 64
		}
		c.x[i] = float32(v * size)
	}
	return c
}

func lookup(t testingT, name string) *Codec {
	t.Helper()
	c, err := Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *screenCase) row(i int) []float32 { return c.x[i*c.cols : (i+1)*c.cols] }

// logits is the whole product.
func (c *screenCase) logits() []float32 {
	var s Scratch
	dst := make([]float32, c.n*c.rows)
	MulDense(dst, c.rows, c.codec, c.data, c.rows, c.cols, 0, c.rows, c.x, c.n, &s)
	return dst
}

// screen fills a Screen.
func (c *screenCase) screen(t testingT) *Screen {
	t.Helper()
	s, err := NewScreen(c.rows, c.cols)
	if err != nil {
		t.Fatal(err)
	}
	var scratch Scratch
	if err := s.Fill(c.codec, c.data, 0, c.rows, &scratch); err != nil {
		t.Fatal(err)
	}
	if want := ScreenBytes(c.rows, c.cols); want != s.Reads(eightBits)+4*len(s.coefs[0]) {
		t.Fatalf("ScreenBytes says %d", want)
	}
	return s
}

type testingT interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

var eightBits = Bounds{Bits: MostBits}

// precision is how a test bounds products: refined lists are bounded again.
type precision struct {
	Bounds
	refined bool
}

// precisions are all that there are.
func precisions() (all []precision) {
	for _, bits := range []int{LeastBits, MostBits} {
		for _, coarse := range []bool{false, true} {
			for _, refined := range []bool{false, true} {
				all = append(all, precision{Bounds{bits, coarse}, refined})
			}
		}
	}
	return all
}

// step is that of the bounds of an activation row.
func (p precision) step(x []float32) float64 {
	most := float64(wordMost)
	if p.Coarse {
		most = codeMost
	}
	step, _ := screenStep(x, most)
	return step
}

// shortlists screens all activation rows, in pieces as several workers would,
// and returns the rows left over for each; nil where x has no bounds.
// Where known is set the exact products of the best rows help.
func (c *screenCase) shortlists(s *Screen, k, workers int, p precision, known bool) ([][]int32, []float32) {
	var a ScreenActs
	a.Reset(c.n, c.cols)
	ok := make([]bool, c.n)
	for i := range c.n {
		ok[i] = a.Quantize(i, c.row(i))
		if a.QuantizeCoarse(i, c.row(i)) != ok[i] {
			panic("one precision has bounds, the other has not")
		}
	}
	lists := make([][]Shortlist, workers)
	for w := range lists {
		lists[w] = make([]Shortlist, c.n)
		for i := range lists[w] {
			lists[w][i].Reset(k)
		}
	}
	const groups = 3
	stride := groups * screenRows
	upper := make([]float32, c.n*stride)
	all := make([]float32, c.n*s.Groups()*screenRows)
	for g := 0; g < s.Groups(); g += groups {
		g1 := min(g+groups, s.Groups())
		s.Upper(upper, stride, g, g1, &a, p.Bounds)
		for i := range c.n {
			copy(all[(i*s.Groups()+g)*screenRows:], upper[i*stride:][:(g1-g)*screenRows])
			list := &lists[g/groups%workers][i]
			list.Offer(s, &a, p.Bounds, i, g*screenRows, upper[i*stride:][:(g1-g)*screenRows])
		}
	}
	rows := make([][]int32, c.n)
	for i := range rows {
		for w := 1; w < workers; w++ {
			lists[0][i].Merge(&lists[w][i])
		}
		if ok[i] {
			list := &lists[0][i]
			least := float32(math.Inf(1))
			for _, id := range list.Best(nil) {
				least = min(least, DotRow(c.codec, c.data, c.rows, c.cols, int(id), c.row(i), &Scratch{}))
			}
			of := p.Bounds
			if p.refined {
				list.Refine(s, &a, i)
				of.Coarse = false
			}
			if known {
				list.Know(least, a.Step(i, of))
			}
			rows[i] = slices.Clone(lists[0][i].Rows())
		}
	}
	return rows, all
}

// TestScreenFindsTheLargest: over any matrix the rows left, multiplied exactly,
// hold the top k with the bits of the whole product, and every tier leaves the
// same rows and computes the same bounds.
func TestScreenFindsTheLargest(t *testing.T) {
	separated, total := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		c := drawScreenCase(t)
		k := rapid.IntRange(1, min(100, c.rows)).Draw(t, "k")
		p := rapid.SampledFrom(precisions()).Draw(t, "precision")
		known := rapid.Bool().Draw(t, "known")
		logits := c.logits()
		var wantRows [][]int32
		var wantBounds []float32
		check := func(tier string) {
			restore, err := UseTier(tier)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			s := c.screen(t)
			rows, bounds := c.shortlists(s, k, rapid.IntRange(1, 3).Draw(t, "workers"), p, known)
			var scratch Scratch
			for i, ids := range rows {
				if ids == nil {
					continue
				}
				total += c.rows
				separated += c.rows - len(ids)
				c.sameTop(t, tier, i, k, ids, logits, &scratch)
			}
			if wantRows == nil {
				wantRows, wantBounds = rows, bounds
				return
			}
			if !equalBits(wantBounds, bounds) {
				t.Fatalf("the bounds of %s differ from the reference", tier)
			}
			for i := range rows {
				if !slices.Equal(wantRows[i], rows[i]) {
					t.Fatalf("%s leaves %v, the reference %v", tier, rows[i], wantRows[i])
				}
			}
		}
		for _, tier := range append([]string{"generic"}, Tiers()...) {
			check(tier)
		}
	})
	t.Logf("%d of %d rows were ruled out", separated, total)
	if separated*4 < total {
		t.Errorf("screening ruled out %d of %d rows: the bounds are of no use", separated, total)
	}
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// TestScreenBounds: each bound holds for the exact float32 product as a real
// number, compared without rounding.
func TestScreenBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawScreenCase(t)
		s, logits := c.screen(t), c.logits()
		p := rapid.SampledFrom(precisions()).Draw(t, "precision")
		_, upper := c.shortlists(s, 1, 1, p, false)
		var a ScreenActs
		a.Reset(c.n, c.cols)
		for i := range c.n {
			if !a.Quantize(i, c.row(i)) || !a.QuantizeCoarse(i, c.row(i)) {
				continue
			}
			step, widths := p.step(c.row(i)), a.of(p.Bounds).widths[2*i:]
			real := func(bound float32) *big.Float {
				return new(big.Float).SetPrec(200).Mul(big.NewFloat(float64(bound)), big.NewFloat(step))
			}
			for r := range c.rows {
				up := upper[i*s.Groups()*screenRows+r]
				d := big.NewFloat(float64(logits[i*c.rows+r]))
				low := s.lower(r, up, widths, p.Bounds)
				if real(up).Cmp(d) < 0 || real(low).Cmp(d) > 0 {
					t.Fatalf("row %d: %v is not within [%v, %v] steps of %v", r, d, low, up, step)
				}
			}
		}
	})
}

// TestScreenNoOverflow: the largest dots that rounding allows, in every number
// of columns, stay within int32.
func TestScreenNoOverflow(t *testing.T) {
	for _, cols := range []int{1, 64, 516, 517, 2560, 8192, 16384, 1 << 20} {
		for what, value := range map[string]func(i int) float32{
			"equal":       func(int) float32 { return 1 },
			"alternating": func(i int) float32 { return float32(1 - 2*(i%2)) },
			"one large":   func(i int) float32 { return 1 + float32(1e4/(i*i+1)) },
			"halves":      func(i int) float32 { return float32(1 + i%2) },
		} {
			x := make([]float32, cols)
			for i := range x {
				x[i] = value(i)
			}
			var a ScreenActs
			a.Reset(1, cols)
			if !a.Quantize(0, x) || !a.QuantizeCoarse(0, x) {
				t.Fatalf("%s: %d columns cannot be bounded", what, cols)
			}
			check := func(most int64, values []int64) {
				var dot, top int64
				for _, y := range values {
					m := max(y, -y)
					dot += sixMost * m
					top = max(top, m)
				}
				if dot > math.MaxInt32 || top > most || top == 0 {
					t.Errorf("%s, %d columns: the dot reaches %d, the largest value is %d of %d", what, cols, dot, top, most)
				}
			}
			var fine, coarse []int64
			for i := range cols {
				fine = append(fine, int64(a.fine.at(0, i)))
				coarse = append(coarse, int64(a.coarse.at(0, i)))
			}
			check(wordMost, fine)
			check(codeMost, coarse)
			if cols > 20000 {
				continue
			}
			// The same matrix row as the activations: the largest dot.
			c := screenCase{codec: mustLookup(t, "F32"), rows: 4, cols: cols, x: x, n: 1}
			c.data = bytesOf(slices.Concat(x, x, x, x))
			s := c.screen(t)
			want := map[precision]float32{}
			for _, tier := range Tiers() {
				withTier(t, tier, func() {
					for _, p := range precisions() {
						_, upper := c.shortlists(s, 1, 1, p, false)
						if upper[0] <= 0 || want[p] != 0 && upper[0] != want[p] {
							t.Errorf("%s, %d columns on %s: bound %v, want %v", what, cols, tier, upper[0], want[p])
						}
						want[p] = upper[0]
					}
				})
			}
		}
	}
}

// TestScreenRefuses: values without bounds are told, not screened.
func TestScreenRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, bad := range []float32{nan, inf, -inf, 0x1p61} {
		for _, cols := range []int{15, 64} {
			w := make([]float32, 5*cols)
			w[3*cols+7] = bad
			s, err := NewScreen(5, cols)
			if err != nil {
				t.Fatal(err)
			}
			var scratch Scratch
			if err := s.Fill(mustLookup(t, "F32"), bytesOf(w), 0, 5, &scratch); !errors.Is(err, ErrUnscreenable) {
				t.Errorf("weight %v: error %v", bad, err)
			}
			var a ScreenActs
			a.Reset(1, cols)
			x := w[3*cols : 4*cols]
			if a.Quantize(0, x) {
				t.Errorf("activation %v is bounded", bad)
			}
		}
	}
	for _, size := range []float32{0, 1e-20} {
		var a ScreenActs
		a.Reset(1, 2)
		if a.Quantize(0, []float32{size, size}) {
			t.Errorf("activations of %v are bounded", size)
		}
	}
	for _, shape := range [][2]int{{0, 5}, {5, 0}, {1, 1<<20 + 1}} {
		if _, err := NewScreen(shape[0], shape[1]); !errors.Is(err, ErrUnscreenable) {
			t.Errorf("shape %v: error %v", shape, err)
		}
	}
}

// TestShortlistKeepsLittle: rows in ascending order, the worst case, leave no
// long list behind.
func TestShortlistKeepsLittle(t *testing.T) {
	const rows, cols = 20000, 16
	c := screenCase{codec: mustLookup(t, "F32"), rows: rows, cols: cols, n: 1, x: make([]float32, cols)}
	w := make([]float32, rows*cols)
	for r := range rows {
		w[r*cols] = float32(r) / rows
	}
	c.data, c.x[0] = bytesOf(w), 1
	s := c.screen(t)
	var a ScreenActs
	a.Reset(1, cols)
	a.Quantize(0, c.x)
	upper := make([]float32, s.Groups()*screenRows)
	s.Upper(upper, len(upper), 0, s.Groups(), &a, eightBits)
	var l Shortlist
	l.Reset(3)
	l.Offer(s, &a, eightBits, 0, 0, upper)
	if cap(l.ids) > 8*leastList {
		t.Errorf("the list grew to %d", cap(l.ids))
	}
	ids := l.Rows()
	if n := len(ids); n < 3 || n > 2000 || ids[n-1] != rows-1 {
		t.Errorf("%d rows are left, the last is %d", n, ids[n-1])
	}
}

func BenchmarkScreen(b *testing.B) {
	const rows, cols = 8192, 2560
	rng := newRand(44)
	c := screenCase{codec: mustLookup(b, "F16"), rows: rows, cols: cols}
	c.data = make([]byte, c.codec.Size(rows, cols))
	if err := c.codec.Encode(c.data, floats(rng, rows*cols), rows, cols); err != nil {
		b.Fatal(err)
	}
	s := c.screen(b)
	var scratch Scratch
	b.Run("fill", func(b *testing.B) {
		b.SetBytes(2 * rows * cols)
		for b.Loop() {
			if err := s.Fill(c.codec, c.data, 0, rows, &scratch); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
		var a ScreenActs
		a.Reset(n, cols)
		for i := range n {
			x := floats(rng, cols)
			a.Quantize(i, x)
			a.QuantizeCoarse(i, x)
		}
		for _, p := range precisions() {
			if p.refined {
				continue
			}
			name := map[bool]string{false: "fine", true: "coarse"}[p.Coarse]
			b.Run(fmt.Sprintf("%s/%d/%d", name, p.Bits, n), func(b *testing.B) {
				const groups = 16
				upper := make([]float32, n*groups*screenRows)
				b.SetBytes(int64(s.Reads(p.Bounds)))
				for b.Loop() {
					for g := 0; g < s.Groups(); g += groups {
						s.Upper(upper, groups*screenRows, g, g+groups, &a, p.Bounds)
					}
				}
			})
		}
	}
}

// sameTop compares the k largest of the exact products that are left of activation row i with
// those of all its products.
func (c screenCase) sameTop(t rapid.TB, tier string, i, k int, ids []int32, logits []float32, scratch *Scratch) {
	t.Helper()
	exact := make([]float32, len(ids))
	for j, id := range ids {
		exact[j] = DotRow(c.codec, c.data, c.rows, c.cols, int(id), c.row(i), scratch)
	}
	wantIDs, wantVals := TopK(logits[i*c.rows:(i+1)*c.rows], k, nil, nil)
	at, vals := TopK(exact, k, nil, nil)
	for j := range at {
		at[j] = ids[at[j]]
	}
	if !slices.Equal(wantIDs, at) || !equalBits(wantVals, vals) {
		t.Fatalf("%s, row %d: top %d is %v %v, want %v %v", tier, i, k, at, vals, wantIDs, wantVals)
	}
}
