package stages

import (
	"math"
	"testing"

	"tritflow/stages/sample"
)

// TestDrawn: the logits that a result tells are those of the whole head at the same
// positions, also of the end token; and the digest does not depend on the arrangement.
func TestDrawn(t *testing.T) {
	requests := []Request{
		{Prompt: "The capital of France is", MaxTokens: 8},
		{Prompt: "Once upon a time", MaxTokens: 12, IgnoreEOS: true},
		{Prompt: "Once upon a time", MaxTokens: 12, Sampling: sample.Params{Temperature: .9, TopP: 1, TypicalP: 1, TopK: 20, Seed: 3}},
		{Prompt: "Once upon a time", MaxTokens: 12, Sampling: sample.Params{Temperature: .9, TopP: 1, TypicalP: 1, Repeat: 1.2, Seed: 3}},
	}
	var first [][32]byte
	for _, o := range []Options{
		{Devices: "cpu:1"}, {Devices: "cpu:2", Screen: "off"}, {Devices: "cpu:1,cpu:1", Chunk: 3, NoPrefixCache: true},
	} {
		e := openBuiltin(t, o)
		var results []Result
		for _, r := range requests {
			s, err := e.Submit(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, s.Result())
		}
		if first == nil {
			for i := range results {
				first = append(first, results[i].Digest())
				checkDrawn(t, e, requests[i].Prompt, &results[i])
			}
			if n, m := len(results[0].Drawn), len(results[0].Tokens); n != m+1 {
				t.Errorf("%d draws of %d tokens: the end token is missing", n, m)
			}
			changed := results[0]
			changed.Drawn = append([]Drawn(nil), changed.Drawn...)
			changed.Drawn[1].Logit = math.Nextafter32(changed.Drawn[1].Logit, 100)
			if changed.Digest() == first[0] {
				t.Error("another logit has the same digest")
			}
		}
		for i := range results {
			if results[i].Digest() != first[i] {
				t.Errorf("%+v: request %d has another digest", o, i)
			}
		}
	}
}

func checkDrawn(t *testing.T, e *Engine, prompt string, r *Result) {
	t.Helper()
	_, ids, err := e.core.prompt(&Request{Prompt: prompt})
	if err != nil {
		t.Fatal(err)
	}
	row := -len(ids)
	for _, d := range r.Drawn[:len(r.Drawn)-1] {
		ids = append(ids, d.ID)
	}
	for logits, err := range e.Logits(t.Context(), ids, false) {
		if err != nil {
			t.Fatal(err)
		}
		if row++; row < 0 {
			continue
		}
		if d := r.Drawn[row]; math.Float32bits(logits[d.ID]) != math.Float32bits(d.Logit) {
			t.Errorf("draw %d of token %d: %v, the head gives %v", row, d.ID, d.Logit, logits[d.ID])
		}
	}
	if row != len(r.Drawn)-1 {
		t.Errorf("%d rows for %d draws", row+1, len(r.Drawn))
	}
}
