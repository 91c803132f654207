package stages

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"tritflow/stages/sample"
)

// ternaryItem is a prompt with the logits of every position, or with the one
// vector of a model that pools, as graph/testdata/ternary.py computed them.
type ternaryItem struct {
	Text   string
	IDs    []int32
	Answer [][]float32
}

func ternaryItems(t *testing.T, name string) []ternaryItem {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../graph/testdata", "tiny-"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Items []ternaryItem }
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Items) == 0 {
		t.Fatalf("%s has no items", name)
	}
	return f.Items
}

func openTiny(t *testing.T, name string, opt Options) *Engine {
	t.Helper()
	e, err := Open(context.Background(), filepath.Join("../graph/testdata", "tiny-"+name+".gguf"), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// closeTo compares with the reference and returns how far off values are,
// as a part of their size; an activation that is rounded to the other side
// costs far more than the bound.
func closeTo(t *testing.T, what string, got, want []float32) float64 {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	most, squares := 0.0, 0.0
	for i := range want {
		most = max(most, math.Abs(float64(got[i])-float64(want[i])))
		squares += float64(want[i]) * float64(want[i])
	}
	off := most / math.Sqrt(squares/float64(len(want)))
	if !(off < 1e-4) {
		t.Errorf("%s: off by %g of the values' size", what, off)
	}
	return off
}

// TestTernaryArchitectures compares every architecture with ternary matrices
// with a forward pass written from the formulas in another language.
func TestTernaryArchitectures(t *testing.T) {
	for _, name := range []string{"llama-ternary", "qwen3-ternary", "bitnet-ternary", "bitnet-scales"} {
		t.Run(name, func(t *testing.T) {
			e := openTiny(t, name, Options{Devices: "cpu:2", KV: "f32"})
			off := 0.0
			for _, it := range ternaryItems(t, name) {
				n := 0
				for row, err := range e.Logits(t.Context(), it.IDs, false) {
					if err != nil {
						t.Fatal(err)
					}
					off = max(off, closeTo(t, name, row, it.Answer[n]))
					n++
				}
				if n != len(it.IDs) {
					t.Errorf("%d positions of %d", n, len(it.IDs))
				}
			}
			t.Logf("off by %.1g of the logits' size at most", off)
		})
	}
}

// TestEmbeddings: the same for models that pool, from text and from ids, all at
// once, on one device and on two, in large Steps and in small ones.
func TestEmbeddings(t *testing.T) {
	for _, name := range []string{"qwen3-embedding", "qwen3-mean", "gemma3-embedding"} {
		items := ternaryItems(t, name)
		var first [][]float32
		for _, opt := range []Options{
			{Devices: "cpu:1", KV: "f32"},
			{Devices: "cpu:2", KV: "f32", Chunk: 3},
			{Devices: "cpu:1,cpu:1", Split: []int{1, 1}, KV: "f32", Chunk: 5, MaxSeqs: 3},
		} {
			e := openTiny(t, name, opt)
			got := make([]Embedding, 2*len(items))
			var g errgroup.Group
			for i, it := range items {
				for j, r := range []Request{{Prompt: it.Text}, {Tokens: it.IDs}} {
					g.Go(func() (err error) {
						got[2*i+j], err = e.Embed(t.Context(), r)
						return err
					})
				}
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			for i, it := range items {
				closeTo(t, name+" "+it.Text, got[2*i].Vector, it.Answer[0])
				if got[2*i].Tokens != len(it.IDs) || !slices.Equal(got[2*i].Vector, got[2*i+1].Vector) {
					t.Errorf("%s %q: %d tokens, want %d; or text and ids differ", name, it.Text, got[2*i].Tokens, len(it.IDs))
				}
				if len(first) < len(items) {
					first = append(first, got[2*i].Vector)
				} else if !slices.Equal(first[i], got[2*i].Vector) {
					t.Errorf("%s %q: devices and Steps change the vector", name, it.Text)
				}
			}
		}
	}
}

func TestNormalize(t *testing.T) {
	e := Embedding{Vector: []float32{3, 0, -4}}
	e.Normalize()
	if !slices.Equal(e.Vector, []float32{0.6, 0, -0.8}) {
		t.Error(e.Vector)
	}
	zeros := Embedding{Vector: make([]float32, 2)}
	zeros.Normalize()
	if !slices.Equal(zeros.Vector, []float32{0, 0}) {
		t.Error(zeros.Vector)
	}
}

// TestKinds: what a model is not made for is refused at once.
func TestKinds(t *testing.T) {
	pools, speaks := openTiny(t, "qwen3-embedding", Options{Devices: "cpu:1"}), openBuiltin(t, Options{Devices: "cpu:1"})
	var ke *KindError
	if _, err := speaks.Embed(t.Context(), Request{Prompt: "x"}); !errors.As(err, &ke) {
		t.Errorf("Embed: %v", err)
	}
	if _, err := pools.Submit(t.Context(), Request{Prompt: "x", MaxTokens: 1, Sampling: sample.Params{}}); !errors.As(err, &ke) {
		t.Errorf("Submit: %v", err)
	}
	for _, err := range pools.Logits(t.Context(), []int32{1}, false) {
		if !errors.As(err, &ke) {
			t.Errorf("Logits: %v", err)
		}
	}
	var re *RequestError
	if _, err := pools.Embed(t.Context(), Request{}); !errors.As(err, &re) {
		t.Errorf("Embed of nothing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pools.Embed(ctx, Request{Prompt: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if names := pools.Stats().Stages; names[len(names)-1].Name != poolStage {
		t.Errorf("the last stage is %s", names[len(names)-1].Name)
	}
}
