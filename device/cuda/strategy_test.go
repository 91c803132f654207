//go:build cuda

package cuda

import (
	"fmt"
	"strings"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/graph"
)

// TestStrategy: what is said of a layer is what loading and multiplying it picks, by rows.
func TestStrategy(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	m, g := boundModel(t, ""), fakeGPU(t)
	h := holding{g: g}
	b := &m.Blocks[0]
	var loaded map[string]*layer
	if err := g.queue.do(func() error {
		qkv, err := h.layer([]*graph.Linear{&b.Q, &b.K, &b.V}, []int{0, b.Q.Out, b.Q.Out + b.K.Out})
		if err != nil {
			return err
		}
		expand, _, err := h.gates(&b.Gate, &b.Up)
		if err != nil {
			return err
		}
		down, err := h.layer([]*graph.Linear{&b.Down}, []int{0})
		loaded = map[string]*layer{"attn_q": qkv, "attn_k": qkv, "ffn_gate": expand, "ffn_up": expand, "ffn_down": down}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, l := range device.Layers(m, kvTypes()...) {
		for _, rows := range []int{1, 2, 8, 9, 16, 17, 40, 64, 65, 512} {
			s, err := g.Strategy(l, rows)
			if err != nil || !strings.HasPrefix(s.Kernel, "cuda.") || s.Access == "" {
				t.Fatalf("%s, %d rows: %+v, %v", l.Kind, rows, s, err)
			}
			seen[s.Kernel] = true
			of := loaded[l.Kind]
			if of == nil || rows == 1 {
				continue
			}
			want := g.way(of.groups[0].t, rows).k.f.Name()
			if rows <= fewSpanMost {
				want += " or span_few"
			}
			if s.Kernel != "cuda."+want || s.Access != inTiles {
				t.Errorf("%s, %d rows: %+v, it is multiplied by %s", l.Kind, rows, s, want)
			}
		}
	}
	for _, name := range []string{"embed_rows", "attn_cluster4x5_64_4", "attn_rows_64", "attend_any", "ternary_short8", "ternary_batch64", "ternary_one1 or span_one", "ternary_short8 or span_few"} {
		if !seen["cuda."+name] {
			t.Errorf("%s is never used: %v", name, fmt.Sprint(seen))
		}
	}
	// Few rows go through large layers several tiles a block, rows beyond those of a block in turns or in wide blocks.
	for _, c := range []struct {
		tiles, chunks, rows int
		want                string
	}{{864, 20, 64, "ternary_batch64"}, {864, 20, 128, "ternary_wide"}, {864, 20, 512, "ternary_wide"}, {160, 54, 128, "ternary_batch64"}, {160, 54, 2048, "ternary_wide"},
		{864, 20, 4, "ternary_four8"}, {864, 20, 16, "ternary_four16"}, {866, 20, 4, "ternary_two8"}, {240, 20, 16, "ternary_two16"}, {160, 20, 4, "ternary_short8"}, {160, 20, 16, "ternary_short16"}, {864, 54, 4, "ternary_few8"},
		{160, 54, 8, "ternary_few8"}, {160, 54, 9, "ternary_pair16"}, {864, 54, 16, "ternary_few16"}, {864, 20, 17, "ternary_batch32"}} {
		if got := g.way(&ternary{tiles: c.tiles, chunks: c.chunks}, c.rows).k.f.Name(); got != c.want {
			t.Errorf("%d rows of %d tiles and %d chunks: %s, want %s", c.rows, c.tiles, c.chunks, got, c.want)
		}
	}
	// Attention goes as attend.go decides: by norms, the shape of the heads and how many rows.
	spec := graph.Block{Heads: 20, KVHeads: 5, KeyDim: 128, ValueDim: 128}
	normed, odd, crowd := spec, spec, spec
	normed.QNorm, odd.ValueDim, crowd.Heads = &graph.Norm{}, 64, 85
	for _, c := range []struct {
		block *graph.Block
		rows  int
		want  string
	}{
		{&spec, 4, "attn_cluster8x4_128_4"}, {&spec, 16, "attn_cluster4x5_128_4"}, {&spec, 26, "attn_cluster3x4_128_4"}, {&spec, 64, "attn_each_128"}, {&spec, 512, "attn_rows_128"},
		{&normed, 4, "attn_chunks_128"}, {&normed, 64, "attn_chunks_128"}, {&odd, 4, "attend_any"}, {&crowd, 4, "attn_decode_128"},
	} {
		s, err := g.Strategy(device.Layer{Kind: "attention", In: 128, KV: "f16", Block: c.block}, c.rows)
		if err != nil || s.Kernel != "cuda."+c.want {
			t.Errorf("%d rows: %+v, %v, want %s", c.rows, s, err, c.want)
		}
	}
	if _, err := g.Strategy(device.Layer{Kind: "attention", In: 64, KV: "q4_0", Block: b}, 1); err == nil {
		t.Error("a cache of q4_0 was taken")
	}
	if err := g.queue.do(func() error { h.release(); return nil }); err != nil {
		t.Fatal(err)
	}
}
