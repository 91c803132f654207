package sample

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/quantkern"
)

// plain is the chain without top-k and typical, on a row that is sorted first.
func plain(p Params, row []float32, rng *mt19937) int32 {
	var list []device.Candidate
	for id, l := range row {
		list = append(list, device.Candidate{ID: int32(id), Logit: l})
	}
	slices.SortFunc(list, order)
	weights := func(temp float32) (w []float64, total float64) {
		for _, x := range list {
			w = append(w, float64(quantkern.Exp((x.Logit-list[0].Logit)/temp)))
			total += w[len(w)-1]
		}
		return w, total
	}
	w, total := weights(1)
	n, sum := 0, 0.0
	for n < len(list) && (n == 0 || sum < float64(p.TopP)) {
		sum += w[n] / total
		n++
	}
	if p.TopP < 1 {
		list = list[:n]
	}
	if p.MinP > 0 {
		least := list[0].Logit + quantkern.Log(p.MinP)
		n = 1
		for n < len(list) && list[n].Logit >= least {
			n++
		}
		list = list[:n]
	}
	if len(list) == 1 {
		return list[0].ID
	}
	w, total = weights(p.Temperature)
	u := rng.canonical()
	sum = 0
	for i, x := range list {
		if sum += w[i] / total; sum >= u {
			return x.ID
		}
	}
	return list[len(list)-1].ID
}

// TestOrderIsMadeLate: that candidates are taken out of the row, dealt into buckets and
// sorted as somebody looks changes no draw, however logits are spread.
func TestOrderIsMadeLate(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	far := 0
	for _, p := range []Params{
		{Temperature: 1, TopP: 1},
		{Temperature: 30, TopP: 1},
		{Temperature: 0.8, TopP: 0.95},
		{Temperature: 2, TopP: 0.9999},
		{Temperature: 1.5, TopP: 1, MinP: 1e-4},
	} {
		p.Seed = rng.Uint64()
		s := New(p)
		var want mt19937
		want.seed(p.Seed)
		for _, n := range []int{1, 2, unsorted, unsorted + 1, 4000} {
			for _, spread := range []float64{0, 1e-4, 1, 3, 20} {
				for range 20 {
					row := make([]float32, n)
					for i := range row {
						row[i] = float32(spread * rng.NormFloat64())
					}
					row[rng.IntN(n)] = float32(math.Inf(-1))
					row[rng.IntN(n)] = float32(4 * spread)
					c, err := s.Sample(device.Scores{Full: row}, -1)
					if err != nil {
						t.Fatal(err)
					}
					if id := plain(p, row, &want); c.ID != id {
						t.Fatalf("%+v: %d of %d tokens with spread %v, want %d", p, c.ID, n, spread, id)
					}
					if slices.Max(row)-c.Logit > farthest {
						far++
					}
				}
			}
		}
		if s.rng != want {
			t.Errorf("%+v: the generator was used otherwise", p)
		}
	}
	if far == 0 {
		t.Error("no token was drawn from the far end of a row")
	}
}
