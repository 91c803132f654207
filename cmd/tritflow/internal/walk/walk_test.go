package walk_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tritflow/cmd/tritflow/internal/requant"
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

// TestTiles: a matrix in tiles is read as the file or the caller says, and as
// its weights show where nobody does.
func TestTiles(t *testing.T) {
	path := tiled(t)
	for _, tiles := range []string{"", "32/32/32"} {
		opt := gguf.Options{Tiles: tiles}
		f, err := gguf.Open(path, opt)
		m, err2 := graph.Bind(gguftest.Held(t, f, err))
		if err2 != nil {
			t.Fatal(err2)
		}
		ids := tokens(5, m.Vocab)
		got, err := walk.Run(t.Context(), m, ids, walk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := engine(t, path, opt, ids); !slices.Equal(got, want) {
			t.Errorf("tiles %q: other logits than the engine's", tiles)
		}
	}
}

// tiled writes the built-in model as TL1 into a file that does not say its tiles.
func tiled(t *testing.T) string {
	t.Helper()
	from := gguftest.Open(t, "")
	p, err := requant.NewPlan(t.Context(), from, requant.Options{Type: gguf.TypeTL1})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gguf.NewWriter(&b)
	if err := errors.Join(p.Write(t.Context(), w, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiled.gguf")
	silent := bytes.Replace(b.Bytes(), []byte(gguf.TilesKey), bytes.Repeat([]byte("x"), len(gguf.TilesKey)), 1)
	if err := os.WriteFile(path, silent, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// engine gives the logits of all positions.
func engine(t *testing.T, path string, opt gguf.Options, ids []int32) (logits []float32) {
	t.Helper()
	e, err := stages.Open(t.Context(), path, stages.Options{Devices: "cpu", Gguf: opt})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for row, err := range e.Logits(t.Context(), ids, false) {
		if err != nil {
			t.Fatal(err)
		}
		logits = append(logits, row...)
	}
	return logits
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
	var te *walk.TensorError
	for name, spoil := range map[string]func(m *graph.Model){
		"blk.0.attn_norm.weight": func(m *graph.Model) { m.Blocks[0].K.Pre = &m.Blocks[0].AttnNorm },
		"blk.0.ffn_norm.weight":  func(m *graph.Model) { m.Blocks[0].FFNPostNorm = &m.Blocks[0].FFNNorm },
		"token_embd.weight":      func(m *graph.Model) { m.Embed.Scale = 16 },
		"output_norm.weight":     func(m *graph.Model) { m.Head.Pooling = graph.PoolLast },
	} {
		_, other := open(t, "")
		spoil(other)
		if _, err := walk.Run(t.Context(), other, []int32{1}, walk.Options{}); !errors.As(err, &te) || te.Tensor != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := *m.Blocks[1].Up.Weight
	short.Data = short.Data[:10]
	m.Blocks[1].Up.Weight = &short
	if _, err := walk.Run(t.Context(), m, []int32{1}, walk.Options{}); !errors.As(err, &te) || te.Tensor != "blk.1.ffn_up.weight" {
		t.Errorf("a tensor cut short: %v", err)
	}
}
