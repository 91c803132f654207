package devtest

import (
	"testing"

	"tritflow/graph"
)

// bitnetCpp compares the ternary model with bitnet.cpp. Short prompts must
// agree closely; on a single token bitnet.cpp rounds the final hidden state to
// half precision, which a device must not (then chunking would matter), so
// there the bound is that rounding's, and oneToken repeats it to compare
// closely. All bounds are far below what one differently rounded activation
// costs (0.1 and more). On long prompts an activation that lies on a rounding
// boundary may fall to the other side, which moves all later logits a little,
// so those are compared statistically; the share of equal winners is what an
// independent implementation reaches.
func (s *suite) bitnetCpp(t *testing.T) {
	const (
		short      = 8
		closeBound = 2e-4
		oneBound   = 2e-2
		meanBound  = 0.15
		eachArgmax = 0.93
		allArgmax  = 0.96
	)
	r := s.rig(t, Ternary, pagesOf("f16"))
	hits, rows := 0, 0
	for _, ref := range ternaryReferences(t) {
		d := compare(t, ref, r.prompt(t, ref.tokens))
		t.Logf("%s: %d positions, mean |diff| %.2g, max %.2g, argmax equal %d", ref.name, len(ref.tokens), d.mean, d.max, d.argmax)
		if len(ref.tokens) <= short {
			bound := max(closeBound, float64(s.bound))
			if len(ref.tokens) == 1 {
				bound = max(oneBound, bound)
			}
			if d.max > bound || d.argmax != len(ref.tokens) {
				t.Errorf("%s: max |diff| %g above %g, or a winner differs", ref.name, d.max, bound)
			}
			continue
		}
		if d.mean > meanBound || float64(d.argmax) < eachArgmax*float64(len(ref.tokens)) {
			t.Errorf("%s: mean |diff| %g, argmax equal at %d of %d positions", ref.name, d.mean, d.argmax, len(ref.tokens))
		}
		hits, rows = hits+d.argmax, rows+len(ref.tokens)
	}
	if float64(hits) < allArgmax*float64(rows) {
		t.Errorf("argmax equal at %d of %d positions of the long prompts", hits, rows)
	}
}

// llamaCpp compares float32 models, with float32 keys and values, with llama.cpp.
func (s *suite) llamaCpp(t *testing.T) {
	const bound = 1e-3
	yarn := []graph.MetaValue{
		{Key: "qwen3.rope.scaling.type", Value: "yarn"}, {Key: "qwen3.rope.scaling.factor", Value: float32(4)},
		{Key: "qwen3.rope.scaling.original_context_length", Value: uint32(256)},
	}
	for _, m := range []struct {
		name  string
		model *graph.Model
	}{
		{"llama-f32", OpenModel(t, Llama)}, {"bitnet-f32", OpenModel(t, Bitnet)},
		{"qwen3-f32", OpenModel(t, Qwen3)}, {"qwen3-yarn", openWith(t, Qwen3, yarn)},
	} {
		t.Run(m.name, func(t *testing.T) {
			ref := llamaReference(t, m.name)
			d := compare(t, ref, load(t, m.model, pagesOf("f32"), s.device(t)).prompt(t, ref.tokens))
			t.Logf("%d positions, mean |diff| %.2g, max %.2g, argmax equal %d", len(ref.tokens), d.mean, d.max, d.argmax)
			if limit := max(bound, float64(s.bound)); d.max > limit || d.argmax != len(ref.tokens) {
				t.Errorf("max |diff| %g above %g, or a winner differs", d.max, limit)
			}
		})
	}
}

// difference sums up how far logits are from a reference.
type difference struct {
	mean, max float64
	argmax    int // positions with the same winner
}

func compare(t testing.TB, ref reference, got [][]float32) difference {
	t.Helper()
	if len(got) != len(ref.logits) {
		t.Fatalf("%s: %d rows, want %d", ref.name, len(got), len(ref.logits))
	}
	var d difference
	n := 0
	for r, want := range ref.logits {
		if len(got[r]) != len(want) {
			t.Fatalf("%s: row %d has %d logits, want %d", ref.name, r, len(got[r]), len(want))
		}
		for c, w := range want {
			diff := float64(w) - float64(got[r][c])
			d.mean += max(diff, -diff)
			d.max = max(d.max, diff, -diff)
			n++
		}
		if argmax(want) == argmax(got[r]) {
			d.argmax++
		}
	}
	d.mean /= float64(n)
	return d
}

func argmax(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
