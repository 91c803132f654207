package devtest

import (
	"fmt"
	"math"
	"testing"

	"tritflow/gguf"
	"tritflow/graph"
)

// qkNormModel is a network with norms on queries and keys (qwen3), put
// together by hand: a device must run whatever a graph.Block can say, also
// what no architecture of package graph says.
func qkNormModel(t testing.TB) *graph.Model {
	t.Helper()
	const (
		name                     = "tiny-qwen3-f32.gguf"
		hidden, ffn, vocab       = 128, 320, 512
		heads, kvHeads, headSize = 4, 2, 32
		blocks, eps, base        = 3, 1e-6, 1e6
	)
	f := parse(t, name, dataFile(t, name))
	tensor := func(name string) *gguf.Tensor {
		ten, ok := f.Tensor(name + ".weight")
		if !ok {
			t.Fatalf("devtest: no tensor %s.weight", name)
		}
		return ten
	}
	norm := func(name string) graph.Norm { return graph.Norm{Name: name, Weight: tensor(name), Eps: eps} }
	linear := func(name string, in, out int) graph.Linear {
		return graph.Linear{Name: name, Weight: tensor(name), In: in, Out: out}
	}
	embed := tensor("token_embd")
	m := &graph.Model{
		Arch: "qwen3", Name: name, Hidden: hidden, Vocab: vocab,
		Embed: graph.Embed{Weight: embed, Hidden: hidden, Vocab: vocab},
		Head: graph.Head{
			Norm: norm("output_norm"), Vocab: vocab, Tied: true,
			Out: graph.Linear{Name: "token_embd", Weight: embed, In: hidden, Out: vocab},
		},
	}
	for i := range blocks {
		at := func(part string) string { return fmt.Sprintf("blk.%d.%s", i, part) }
		qNorm, kNorm := norm(at("attn_q_norm")), norm(at("attn_k_norm"))
		m.Blocks = append(m.Blocks, graph.Block{
			Index: i, Hidden: hidden, Heads: heads, KVHeads: kvHeads, KeyDim: headSize, ValueDim: headSize, FFN: ffn,
			AttnNorm: norm(at("attn_norm")),
			Q:        linear(at("attn_q"), hidden, heads*headSize),
			K:        linear(at("attn_k"), hidden, kvHeads*headSize),
			V:        linear(at("attn_v"), hidden, kvHeads*headSize),
			O:        linear(at("attn_output"), heads*headSize, hidden),
			QNorm:    &qNorm, KNorm: &kNorm,
			Rope:      graph.Rope{Kind: graph.RopeNeoX, Dims: headSize, Base: base, Scale: 1},
			AttnScale: float32(1 / math.Sqrt(headSize)),
			FFNNorm:   norm(at("ffn_norm")),
			Gate:      linear(at("ffn_gate"), hidden, ffn), Up: linear(at("ffn_up"), hidden, ffn),
			Down: linear(at("ffn_down"), ffn, hidden),
		})
	}
	return m
}
