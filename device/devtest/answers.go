package devtest

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"tritflow/device"
)

// topK: the largest logits agree with the full row, whichever was asked for.
func (s *suite) topK(t *testing.T) {
	s.eachModel(t, func(t *testing.T, model string, kv device.KV) {
		r := s.rig(t, model, kv)
		chunk := Chunk{ID: 1, Pages: r.table(0), Tokens: tokens(4, 6)}
		full := r.run(t, chunk)
		for _, k := range []int{1, 5, r.model.Vocab, r.model.Vocab + 7} {
			for _, both := range []bool{false, true} {
				b := NewBatch(device.Output{TopK: k, Full: both}, chunk)
				l, err := Forward(context.Background(), r.parts, b)
				if err != nil {
					t.Fatal(err)
				}
				for i := range b.Outputs {
					sc, err := l.Row(i)
					if err != nil {
						t.Fatal(err)
					}
					if both {
						same(t, "full beside top-k", full[i:i+1], [][]float32{sc.Full}, 0)
					}
					want := best(full[i], k)
					if sc.Full == nil && len(sc.Top) == 0 || len(sc.Top) > 0 && !slices.Equal(want, sc.Top) {
						t.Fatalf("row %d, top %d: %v, want %v", i, k, sc.Top, want)
					}
				}
				l.Release()
			}
		}
	})
}

// best sorts a whole row: descending by logit, ascending by id among equals.
func best(x []float32, k int) []device.Candidate {
	all := make([]device.Candidate, len(x))
	for i, v := range x {
		all[i] = device.Candidate{ID: int32(i), Logit: v}
	}
	slices.SortStableFunc(all, func(a, b device.Candidate) int { return cmp.Compare(b.Logit, a.Logit) })
	return all[:min(k, len(all))]
}

// outputs: only the rows asked for are answered, in the order asked; a batch
// may ask for none.
func (s *suite) outputs(t *testing.T) {
	r := s.rig(t, Ternary, pagesOf("f16"))
	chunks := []Chunk{
		{ID: 1, Pages: r.table(0), Tokens: tokens(5, 9)},
		{ID: 2, Pages: r.table(1), Tokens: tokens(6, 4)},
	}
	all := r.run(t, chunks...)
	b := NewBatch(device.Output{}, chunks...)
	asked := []int32{3, 8, 8, 12}
	b.Outputs = nil
	for _, row := range asked {
		b.Outputs = append(b.Outputs, device.Output{Row: row, Full: true})
	}
	rows, _ := r.answers(t, b)
	for i, row := range asked {
		same(t, "a row asked for", all[row:row+1], rows[i:i+1], 0)
	}
	b = NewBatch(device.Output{}, chunks...)
	b.Outputs = nil
	if rows, _ := r.answers(t, b); len(rows) != 0 {
		t.Errorf("%d answers to no question", len(rows))
	}
}
