package walk_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"tritflow/cmd/tritflow/internal/walk"
	"tritflow/gguf"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
	"tritflow/stages"
)

var files = []string{"", "tiny-i2_s-seed1.gguf", "tiny-llama-f32.gguf", "tiny-bitnet-f32.gguf"}

func open(t testing.TB, name string) (*gguf.File, *graph.Model) {
	t.Helper()
	if name != "" {
		name = filepath.Join("../../../../graph/testdata", name)
	}
	f := gguftest.Open(t, name)
	m, err := graph.Bind(f)
	if err != nil {
		t.Fatal(err)
	}
	return f, m
}

func tokens(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((i*i*31 + i*7 + 3) % vocab)
	}
	return ids
}

// The walk is the engine to the bit, with every type of cache.
func TestSameBitsAsTheEngine(t *testing.T) {
	for _, name := range files {
		for _, kv := range []string{"f16", "f32", "q8_0"} {
			t.Run(name+"/"+kv, func(t *testing.T) {
				_, m := open(t, name)
				ids := tokens(37, m.Vocab)
				got, err := walk.Run(t.Context(), m, ids, walk.Options{KV: kv})
				if err != nil {
					t.Fatal(err)
				}
				path := name
				if path != "" {
					path = filepath.Join("../../../../graph/testdata", name)
				}
				e, err := stages.Open(t.Context(), path, stages.Options{Devices: "cpu", KV: kv})
				if err != nil {
					t.Fatal(err)
				}
				defer e.Close()
				i := 0
				for row, err := range e.Logits(t.Context(), ids, false) {
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(row, got[i*m.Vocab:(i+1)*m.Vocab]) {
						t.Fatalf("logits of position %d differ", i)
					}
					i++
				}
			})
		}
	}
}

// Without int8 a ternary model's logits are close and not the same; a model of
// float32 weights has only its cache to lose.
func TestFloat(t *testing.T) {
	for name, same := range map[string]bool{"": false, "tiny-llama-f32.gguf": true} {
		_, m := open(t, name)
		ids := tokens(9, m.Vocab)
		a, err := walk.Run(t.Context(), m, ids, walk.Options{KV: "f32"})
		if err != nil {
			t.Fatal(err)
		}
		b, err := walk.Run(t.Context(), m, ids, walk.Options{Float: true})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(a, b) != same {
			t.Errorf("%q: equal logits are %v, want %v", name, !same, same)
		}
	}
}

func TestPoints(t *testing.T) {
	_, m := open(t, "")
	seen := map[string]int{}
	products := 0
	_, err := walk.Run(t.Context(), m, tokens(3, m.Vocab), walk.Options{
		Visit: func(p walk.Point, v []float32, width int) error {
			if len(v) != 3*width {
				t.Errorf("%v: %d values of width %d", p, len(v), width)
			}
			seen[p.String()] = width
			return nil
		},
		Product: func(p walk.Product) error {
			products++
			if len(p.In) != 3*p.Linear.In || len(p.Out) != 3*p.Linear.Out {
				t.Errorf("%v: %d in, %d out", p, len(p.In), len(p.Out))
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 3+17*len(m.Blocks) || products != 7*len(m.Blocks) || seen["Qcur-0#1"] == 0 || seen["result_output"] != m.Vocab {
		t.Errorf("%d products, points %v", products, seen)
	}
	if p := (walk.Point{Name: walk.Gate, Layer: 2}); p.Stage() != "block 2" {
		t.Errorf("stage %q", p.Stage())
	}
}

func TestRefusals(t *testing.T) {
	_, m := open(t, "")
	for _, ids := range [][]int32{nil, {-1}, {1, int32(m.Vocab)}} {
		if _, err := walk.Run(t.Context(), m, ids, walk.Options{}); err == nil {
			t.Errorf("%v was taken", ids)
		}
	}
	if _, err := walk.Run(t.Context(), m, []int32{1}, walk.Options{KV: "q9"}); err == nil {
		t.Error("a cache of type q9 was taken")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := walk.Run(ctx, m, []int32{1}, walk.Options{}); !errors.Is(err, enough) {
		t.Errorf("after the end: %v", err)
	}
	visit := func(p walk.Point, _ []float32, _ int) error { return enough }
	if _, err := walk.Run(t.Context(), m, []int32{1}, walk.Options{Visit: visit}); !errors.Is(err, enough) {
		t.Errorf("broken off: %v", err)
	}
	short := *m.Blocks[1].Up.Weight
	short.Data = short.Data[:10]
	m.Blocks[1].Up.Weight = &short
	var te *walk.TensorError
	if _, err := walk.Run(t.Context(), m, []int32{1}, walk.Options{}); !errors.As(err, &te) || te.Tensor != "blk.1.ffn_up.weight" {
		t.Errorf("a tensor cut short: %v", err)
	}
}
