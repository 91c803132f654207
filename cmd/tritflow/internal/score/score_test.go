package score_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"testing"

	"tritflow/cmd/tritflow/internal/score"
)

// counter is a model over ten tokens: after t comes t+1 with probability
// 0.5 times the share of context it has, the others share the rest.
type counter struct{ seen [][]int32 }

func (c *counter) Logits(_ context.Context, ids []int32, _ bool) iter.Seq2[[]float32, error] {
	c.seen = append(c.seen, append([]int32(nil), ids...))
	return func(yield func([]float32, error) bool) {
		for i, id := range ids {
			p := 0.5 * float64(i+1) / float64(i+2)
			row := make([]float32, 10)
			for j := range row {
				row[j] = float32(math.Log((1-p)/9)) + 3
			}
			row[(id+1)%10] = float32(math.Log(p)) + 3
			if !yield(row, nil) {
				return
			}
		}
	}
}

func want(contexts ...int) float64 {
	sum := 0.0
	for _, n := range contexts {
		sum += math.Log(0.5 * float64(n) / float64(n+1))
	}
	return sum
}

func TestWindows(t *testing.T) {
	ids := []int32{0, 1, 2, 3, 4, 5, 6, 7}
	for name, c := range map[string]struct {
		opt     score.Options
		want    float64
		windows int
	}{
		"one":             {score.Options{Window: 20}, want(1, 2, 3, 4, 5, 6, 7), 1},
		"one with BOS":    {score.Options{Window: 20, HasFirst: true, First: 9}, want(1, 2, 3, 4, 5, 6, 7, 8), 1},
		"cut":             {score.Options{Window: 4}, want(1, 2, 3) + want(1, 2, 3) + want(3), 3},
		"cut with BOS":    {score.Options{Window: 5, HasFirst: true, First: 9}, want(1, 2, 3, 4) + want(1, 2, 3, 4) - math.Log(0.25) + math.Log(0.75/9), 2},
		"moved":           {score.Options{Window: 4, Stride: 2}, want(1, 2, 3) + want(2, 3) + want(2, 3), 3},
		"one at a time":   {score.Options{Window: 3, Stride: 1}, want(1, 2) + 5*want(2), 6},
		"stride too long": {score.Options{Window: 20, Stride: 40}, want(1, 2, 3, 4, 5, 6, 7), 1},
	} {
		t.Run(name, func(t *testing.T) {
			src := &counter{}
			done := 0
			c.opt.Progress = func(n, total int) {
				if done = n; total != len(ids) {
					t.Errorf("%d of %d", n, total)
				}
			}
			r, err := score.Perplexity(t.Context(), src, ids, c.opt)
			if err != nil {
				t.Fatal(err)
			}
			predicted := len(ids) - 1
			if c.opt.HasFirst {
				predicted++
			}
			if r.Tokens != predicted || r.Windows != c.windows || done != len(ids) {
				t.Errorf("%d tokens in %d windows, done %d: %v", r.Tokens, r.Windows, done, src.seen)
			}
			if math.Abs(r.LogProb-c.want) > 1e-5 || math.Abs(r.Perplexity-math.Exp(-c.want/float64(predicted))) > 1e-5 {
				t.Errorf("log-probability %v, want %v; %v", r.LogProb, c.want, src.seen)
			}
		})
	}
}

// sure is a model that never has a doubt and is always wrong.
type sure struct{}

func (sure) Logits(_ context.Context, ids []int32, _ bool) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		for range ids {
			if !yield([]float32{1e30, 0, 0}, nil) {
				return
			}
		}
	}
}

// TestPerplexityBeyondNumbers: what exp cannot say is the largest number, which JSON can.
func TestPerplexityBeyondNumbers(t *testing.T) {
	r, err := score.Perplexity(t.Context(), sure{}, []int32{1, 2, 1}, score.Options{Window: 8})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil || r.Perplexity != math.MaxFloat64 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRefused(t *testing.T) {
	var te *score.TextError
	for _, c := range []struct {
		ids []int32
		opt score.Options
	}{
		{nil, score.Options{Window: 8, HasFirst: true}}, {[]int32{1}, score.Options{Window: 8}},
		{[]int32{1, 2, 3}, score.Options{Window: 2}}, {[]int32{1, 2, 3}, score.Options{Window: 8, Stride: -1}},
	} {
		if _, err := score.Perplexity(t.Context(), &counter{}, c.ids, c.opt); !errors.As(err, &te) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, from := range []int{0, 2} {
		if _, err := score.Score(t.Context(), &counter{}, []int32{1, 2}, from, "x"); !errors.As(err, &te) {
			t.Errorf("from %d: %v", from, err)
		}
	}
}

func TestScore(t *testing.T) {
	for _, c := range []struct {
		ids    []int32
		want   float64
		greedy bool
	}{
		{[]int32{1, 2, 3, 4}, want(2, 3), true},
		{[]int32{1, 2, 3, 7}, want(2) + math.Log((1-0.375)/9), false},
	} {
		got, err := score.Score(t.Context(), &counter{}, c.ids, 2, "abcd")
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.LogProb-c.want) > 1e-5 || got.Greedy != c.greedy || len(got.LogProbs) != 2 ||
			math.Abs(got.Byte-c.want/4) > 1e-5 || math.Abs(got.Mean-c.want/2) > 1e-5 {
			t.Errorf("%v: %+v, want %v", c.ids, got, c.want)
		}
	}
	if n := score.Split([]int32{1, 2, 9}, []int32{1, 2, 3, 4}); n != 2 {
		t.Errorf("split at %d", n)
	}
}
