package sample

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tritflow/device"
	"tritflow/quantkern"
)

// TestNeedIsEnough: a sampler that sees only what Need asks for draws the same
// tokens, with the same use of its generator, as one that sees every logit.
func TestNeedIsEnough(t *testing.T) {
	partial := 0
	rapid.Check(t, func(t *rapid.T) {
		p := Params{
			Temperature: rapid.SampledFrom([]float32{0, 0.3, 1, 1.7}).Draw(t, "temperature"),
			TopK:        rapid.SampledFrom([]int{1, 2, 5, 40, 200, 300}).Draw(t, "top-k"),
			TypicalP:    rapid.SampledFrom([]float32{0, 0, 0.3, 0.9}).Draw(t, "typical"),
			TopP:        rapid.SampledFrom([]float32{1, 0.95, 0.5}).Draw(t, "top-p"),
			MinP:        rapid.SampledFrom([]float32{0, 0.05, 0.3}).Draw(t, "min-p"),
			Repeat:      rapid.SampledFrom([]float32{0, 1, 1.1, 3}).Draw(t, "repeat"),
			Frequency:   rapid.SampledFrom([]float32{0, 0, 0.4}).Draw(t, "frequency"),
			Presence:    rapid.SampledFrom([]float32{0, 0, 1.5}).Draw(t, "presence"),
			LastN:       rapid.SampledFrom([]int{1, 8, 0}).Draw(t, "last-n"),
			Seed:        rapid.Uint64().Draw(t, "seed"),
		}
		k, full := p.Need(-1)
		if full {
			t.Fatalf("%+v asks for the full row", p)
		}
		// Steps of the values: 1 makes ties everywhere.
		grid := rapid.SampledFrom([]float32{1, 64, 4096}).Draw(t, "grid")
		vocab := rapid.SampledFrom([]int{3, 60, 300, 700}).Draw(t, "vocabulary")
		a, b := New(p), New(p)
		for range 12 {
			row := make([]float32, vocab)
			for i := range row {
				row[i] = float32(rapid.IntRange(-6*int(grid), 6*int(grid)).Draw(t, "logit")) / grid
			}
			want, err := a.Sample(device.Scores{Full: row}, -1)
			if err != nil {
				t.Fatal(err)
			}
			ids, vals := quantkern.TopK(row, k, nil, nil)
			top := make([]device.Candidate, len(ids))
			for i := range ids {
				top[i] = device.Candidate{ID: ids[i], Logit: vals[i]}
			}
			if len(top) < vocab {
				partial++
			}
			got, err := b.Sample(device.Scores{Top: slices.Clone(top)}, -1)
			if err != nil {
				t.Fatal(err)
			}
			if want.ID != got.ID || a.rng != b.rng {
				t.Fatalf("%+v: %d from %d candidates, %d from the full row", p, got.ID, len(top), want.ID)
			}
			a.Accept(want.ID)
			b.Accept(want.ID)
		}
	})
	if partial == 0 {
		t.Error("every row of candidates was a full one")
	}
}
