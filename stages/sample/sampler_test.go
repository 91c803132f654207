package sample

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tritflow/device"
)

type vectors struct {
	First     map[string][]uint32 `json:"mt19937_first_outputs"`
	Canonical []float64           `json:"canonical_doubles_seed42"`
	Logits    []float32           `json:"logits_sorted"`
	Softmax   []float32           `json:"softmax_f32"`
	Picks     map[string][]int32  `json:"discrete_distribution_picks"`
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/sampling_dist.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func seedOf(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGeneratorVectors(t *testing.T) {
	v := readVectors(t)
	for text, want := range v.First {
		var m mt19937
		m.seed(seedOf(t, text))
		var got []uint32
		for range want {
			got = append(got, m.uint32())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %s: %s", text, diff)
		}
	}
	var m mt19937
	m.seed(42)
	for i, want := range v.Canonical {
		if got := m.canonical(); got != want {
			t.Errorf("canonical %d = %v, want %v", i, got, want)
		}
	}
}

func TestSeedsAboveUint32Differ(t *testing.T) {
	var a, b mt19937
	a.seed(7)
	b.seed(7 | 1<<32)
	if a.uint32() == b.uint32() {
		t.Error("the upper half of a seed is ignored")
	}
}

// TestDistVectors draws with the chain reduced to its last step.
func TestDistVectors(t *testing.T) {
	v := readVectors(t)
	for text, want := range v.Picks {
		s := New(Params{Temperature: 1, TopP: 1, Seed: seedOf(t, text)})
		var got []int32
		for range want {
			c, err := s.Sample(device.Scores{Full: v.Logits}, -1)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, c.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %s: %s", text, diff)
		}
	}
}

func TestGreedy(t *testing.T) {
	pick := func(p Params, sc device.Scores, accepted ...int32) int32 {
		t.Helper()
		s := New(p)
		for _, id := range accepted {
			s.Accept(id)
		}
		c, err := s.Sample(sc, -1)
		if err != nil {
			t.Fatal(err)
		}
		return c.ID
	}
	full := device.Scores{Full: []float32{1, 4, 4, -2, 3}}
	top := device.Scores{Top: []device.Candidate{{ID: 9, Logit: 2}, {ID: 3, Logit: 1}}}
	for _, c := range []struct {
		name     string
		p        Params
		sc       device.Scores
		accepted []int32
		want     int32
	}{
		{"lowest id wins ties", Params{}, full, nil, 1},
		{"candidates alone", Params{}, top, nil, 9},
		{"repeat divides", Params{Repeat: 2}, full, []int32{1}, 2},
		{"repeat on both", Params{Repeat: 2}, full, []int32{1, 2}, 4},
		{"repeat multiplies negative", Params{Repeat: 2}, device.Scores{Full: []float32{-1, -1.5}}, []int32{0}, 1},
		{"frequency counts", Params{Frequency: 0.6}, full, []int32{1, 1, 2}, 2},
		{"presence does not count", Params{Presence: 0.5}, full, []int32{1, 1, 2}, 1},
		{"presence lowers", Params{Presence: 1.5}, full, []int32{1, 2}, 4},
		{"history ends", Params{Presence: 3, LastN: 2}, full, []int32{1, 2, 4}, 1},
		{"penalties on candidates", Params{Presence: 3}, top, []int32{9}, 3},
		{"top-k does not matter", Params{TopK: 1, Presence: 1.5}, full, []int32{1, 2}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := pick(c.p, c.sc, c.accepted...); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestScoresAreNotChanged(t *testing.T) {
	full := []float32{1, 4, 4, -2, 3}
	keep := slices.Clone(full)
	s := New(Params{Temperature: 0.7, TopP: 0.9, Repeat: 1.3})
	s.Accept(1)
	if _, err := s.Sample(device.Scores{Full: full}, 2); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(full, keep) {
		t.Error("Sample changed the row")
	}
}

func TestUnusableScores(t *testing.T) {
	if _, err := New(Params{}).Sample(device.Scores{}, -1); !errors.Is(err, ErrScores) {
		t.Errorf("no scores: %v", err)
	}
	top := device.Scores{Top: []device.Candidate{{ID: 1, Logit: 1}}}
	if _, err := New(Params{}).Sample(top, 0); !errors.Is(err, ErrScores) {
		t.Errorf("log-probabilities of candidates: %v", err)
	}
}

func TestValidate(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name string
		p    Params
		bad  string
	}{
		{"zero value", Params{}, ""},
		{"usual", Params{Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05, Repeat: 1.1, Seed: 1}, ""},
		{"negative temperature", Params{Temperature: -1}, "Temperature"},
		{"nan temperature", Params{Temperature: nan}, "Temperature"},
		{"infinite temperature", Params{Temperature: inf, TopP: 1}, "Temperature"},
		{"top-p 0 while drawing", Params{Temperature: 1}, "TopP"},
		{"top-p above 1", Params{TopP: 1.01}, "TopP"},
		{"top-p nan", Params{TopP: nan}, "TopP"},
		{"negative top-k", Params{TopK: -1}, "TopK"},
		{"min-p above 1", Params{MinP: 2}, "MinP"},
		{"typical below 0", Params{TypicalP: -0.1}, "TypicalP"},
		{"negative repeat", Params{Repeat: -1}, "Repeat"},
		{"repeat too large", Params{Repeat: 2e6}, "Repeat"},
		{"repeat too small", Params{Repeat: 1e-38}, "Repeat"},
		{"largest penalties", Params{Repeat: 1e6, Frequency: 1e6, Presence: -1e6}, ""},
		{"smallest repeat", Params{Repeat: 1e-6}, ""},
		{"frequency too large", Params{Frequency: 3e38}, "Frequency"},
		{"presence too small", Params{Presence: -3e38}, "Presence"},
		{"nan frequency", Params{Frequency: nan}, "Frequency"},
		{"infinite presence", Params{Presence: inf}, "Presence"},
		{"negative last-n", Params{LastN: -1}, "LastN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.p.Validate()
			var pe *ParamError
			switch {
			case c.bad == "" && err != nil:
				t.Error(err)
			case c.bad != "" && (!errors.As(err, &pe) || pe.Param != c.bad):
				t.Errorf("got %v, want a *ParamError of %s", err, c.bad)
			}
		})
	}
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		p        Params
		logprobs int
		topK     int
		full     bool
	}{
		{Params{}, -1, 1, false},
		{Params{Repeat: 1, LastN: 9}, -1, 1, false},
		{Params{}, 0, 0, true},
		{Params{Presence: 1}, -1, 65, false},
		{Params{Repeat: 1.1, LastN: 9}, -1, 10, false},
		{Params{Repeat: 0.9}, -1, 0, true},
		{Params{Frequency: -0.1}, -1, 0, true},
		{Params{Repeat: 1.2, Presence: -1}, -1, 0, true},
		{Params{Presence: 1, LastN: math.MaxInt}, -1, 0, true},
		{Params{Temperature: 1, TopP: 0.9}, -1, 0, true},
		{Params{Temperature: 1, TopK: 40}, -1, 40, false},
		{Params{Temperature: 1, TopK: 40}, 0, 0, true},
		{Params{Temperature: 1, TopK: 40, Repeat: 1.1, LastN: 7}, -1, 47, false},
		{Params{Temperature: 1, TopK: 5000}, -1, 0, true},
		{Params{Temperature: 1, TopK: math.MaxInt, Repeat: 1.1}, -1, 0, true},
	} {
		if k, full := c.p.Need(c.logprobs); k != c.topK || full != c.full {
			t.Errorf("%+v, %d: %d, %v", c.p, c.logprobs, k, full)
		}
	}
}

func TestLogprobs(t *testing.T) {
	full := []float32{0, float32(math.Log(2)), float32(math.Log(4)), float32(math.Log(1))}
	c, err := New(Params{}).Sample(device.Scores{Full: full}, 2)
	if err != nil {
		t.Fatal(err)
	}
	near := func(got, p float64) bool { return math.Abs(got-math.Log(p)) < 1e-6 }
	if c.ID != 2 || !near(c.Logprob, 0.5) || len(c.Top) != 2 ||
		c.Top[0].ID != 1 || !near(c.Top[0].Logprob, 0.25) || c.Top[1].ID != 0 || !near(c.Top[1].Logprob, 0.125) {
		t.Errorf("%+v", c)
	}
}

// probabilities is the straightforward model of the chain in float64, on rows
// without ties.
func probabilities(p Params, row []float32) []float64 {
	ids := make([]int, len(row))
	for i := range ids {
		ids[i] = i
	}
	slices.SortFunc(ids, func(a, b int) int { return int(math.Copysign(1, float64(row[b]-row[a]))) })
	soft := func(t float64) []float64 {
		w := make([]float64, len(ids))
		var sum float64
		for i, id := range ids {
			w[i] = math.Exp(float64(row[id]-row[ids[0]]) / t)
			sum += w[i]
		}
		for i := range w {
			w[i] /= sum
		}
		return w
	}
	if p.TopK > 0 {
		ids = ids[:min(p.TopK, len(ids))]
	}
	if p.TypicalP > 0 && p.TypicalP < 1 {
		w := soft(1)
		var h float64
		for _, x := range w {
			h -= x * math.Log(x)
		}
		order := make([]int, len(ids))
		for i := range order {
			order[i] = i
		}
		dist := func(i int) float64 { return math.Abs(-math.Log(w[i]) - h) }
		slices.SortStableFunc(order, func(a, b int) int { return int(math.Copysign(1, dist(a)-dist(b))) })
		n, sum := 0, 0.0
		for n < len(order) {
			sum += w[order[n]]
			if n++; sum > float64(p.TypicalP) {
				break
			}
		}
		order = order[:n]
		slices.Sort(order)
		var kept []int
		for _, i := range order {
			kept = append(kept, ids[i])
		}
		ids = kept
	}
	if p.TopP < 1 {
		n, sum := 0, 0.0
		for _, x := range soft(1) {
			sum += x
			if n++; sum >= float64(p.TopP) {
				break
			}
		}
		ids = ids[:n]
	}
	if p.MinP > 0 {
		n := 0
		for n < len(ids) && float64(row[ids[n]]) >= float64(row[ids[0]])+math.Log(float64(p.MinP)) {
			n++
		}
		ids = ids[:n]
	}
	out := make([]float64, len(row))
	for i, x := range soft(float64(p.Temperature)) {
		out[ids[i]] = x
	}
	return out
}

// TestDistribution compares 6,000 draws with the model by Pearson's chi-square
// at the 99.9 % quantile (Wilson-Hilferty approximation); seeds are fixed.
func TestDistribution(t *testing.T) {
	row := []float32{1.3, -0.2, 2.7, 0.4, 2.1, -3, 0.9, 1.75, -1.1, 0.15, 1.05, -0.6}
	for _, p := range []Params{
		{Temperature: 1, TopP: 1},
		{Temperature: 0.7, TopP: 0.9},
		{Temperature: 1.6, TopP: 1, TopK: 5},
		{Temperature: 1, TopP: 1, MinP: 0.1},
		{Temperature: 1, TopP: 1, TypicalP: 0.6},
		{Temperature: 0.9, TopP: 0.8, TopK: 8, TypicalP: 0.9, MinP: 0.05},
	} {
		p.Seed = 20251
		const draws = 6000
		counts := make([]float64, len(row))
		s := New(p)
		for range draws {
			c, err := s.Sample(device.Scores{Full: row}, -1)
			if err != nil {
				t.Fatal(err)
			}
			counts[c.ID]++
		}
		var chi float64
		free := -1.0
		for id, want := range probabilities(p, row) {
			if want == 0 {
				if counts[id] != 0 {
					t.Errorf("%+v: token %d was cut but drawn %v times", p, id, counts[id])
				}
				continue
			}
			d := counts[id] - want*draws
			chi += d * d / (want * draws)
			free++
		}
		limit := 0.0
		if free > 0 {
			limit = free * math.Pow(1-2/(9*free)+3.09*math.Sqrt(2/(9*free)), 3)
		}
		if chi > limit {
			t.Errorf("%+v: chi-square %.1f over %v degrees, limit %.1f", p, chi, free, limit)
		}
	}
}

// distinctRow draws logits without ties.
func distinctRow(t *rapid.T) []float32 {
	raw := rapid.SliceOfNDistinct(rapid.IntRange(-4000, 4000), 1, 60, rapid.ID[int]).Draw(t, "logits")
	row := make([]float32, len(raw))
	for i, x := range raw {
		row[i] = float32(x) / 256
	}
	return row
}

func loaded(row []float32) *candidates {
	c := new(candidates)
	c.load(device.Scores{Full: row})
	c.begin()
	return c
}

func TestTopPKeepsShortestPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := distinctRow(t)
		p := rapid.Float32Range(0.01, 0.99).Draw(t, "p")
		c := loaded(row)
		c.topP(p)
		sorted := slices.Clone(row)
		slices.SortFunc(sorted, func(a, b float32) int { return int(math.Copysign(1, float64(b-a))) })
		var total, sum, before float64
		for _, l := range sorted {
			total += math.Exp(float64(l - sorted[0]))
		}
		for i := range c.n {
			if c.at(i).Logit != sorted[i] {
				t.Fatalf("place %d holds %v, want %v", i, c.at(i).Logit, sorted[i])
			}
			before = sum
			sum += math.Exp(float64(sorted[i]-sorted[0])) / total
		}
		const slack = 1e-5
		if c.n < len(row) && sum < float64(p)-slack {
			t.Fatalf("kept %d with %v, less than %v", c.n, sum, p)
		}
		if before >= float64(p)+slack {
			t.Fatalf("kept %d, though %v was reached by one fewer", c.n, p)
		}
	})
}

func TestCandidatesComeInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few values make ties, many sizes and spreads one bucket, some or all.
		most := rapid.SampledFrom([]int{0, 3, 100_000}).Draw(t, "most")
		spread := rapid.SampledFrom([]float32{1e-6, 1, 1e6}).Draw(t, "spread")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		row := make([]float32, rapid.SampledFrom([]int{1, 80, unsorted, unsorted + 1, 3000}).Draw(t, "tokens"))
		for i := range row {
			row[i] = spread * float32(rng.IntN(2*most+1)-most)
		}
		if rapid.Bool().Draw(t, "excluded") {
			row[rng.IntN(len(row))] = float32(math.Inf(-1))
		}
		c := loaded(row)
		look := rapid.IntRange(0, len(row)-1).Draw(t, "look")
		c.at(look)
		if c.n != len(row) {
			t.Fatalf("%d of %d are alive", c.n, len(row))
		}
		for i := 1; i < len(row); i++ {
			if !before(c.at(i-1), c.at(i)) {
				t.Fatalf("%v stands before %v", c.at(i-1), c.at(i))
			}
		}
	})
}

func TestDrawsDependOnNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Params{Temperature: 0.8, TopP: 0.95, Seed: rapid.Uint64().Draw(t, "seed")}
		a, b, other := New(p), New(p), New(Params{Temperature: 2, TopP: 1, Seed: p.Seed + 1})
		for range 20 {
			sc := device.Scores{Full: distinctRow(t)}
			ca, err := a.Sample(sc, -1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Sample(sc, 0); err != nil {
				t.Fatal(err)
			}
			cb, err := b.Sample(sc, -1)
			if err != nil {
				t.Fatal(err)
			}
			if ca.ID != cb.ID {
				t.Fatalf("%d and %d from the same seed and rows", ca.ID, cb.ID)
			}
		}
	})
}

func TestTinyTemperatureIsGreedy(t *testing.T) {
	row := []float32{1, 300, 299.5, -300}
	s := New(Params{Temperature: math.SmallestNonzeroFloat32, TopP: 1, Seed: 3})
	for range 20 {
		c, err := s.Sample(device.Scores{Full: row}, -1)
		if err != nil || c.ID != 1 {
			t.Fatalf("%d, %v", c.ID, err)
		}
	}
}
