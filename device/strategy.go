package device

import (
	"fmt"

	"tritflow/gguf"
	"tritflow/graph"
)

// Layer is something that a network multiplies with: a matrix of the file, or
// the keys of a cache.
type Layer struct {
	Kind   string       // "token_embd", "attn_q" ... "output", or "attention"
	Weight *gguf.Tensor // [In, Out]; nil for attention
	In     int          // values of a row; the width of a key for attention
	Out    int          // rows; 0 for attention
	KV     string       // type of the cache, for attention
	Block  *graph.Block // whose attention it is

	// Together is how many rows all matrices have that read the same input; 0 where that
	// is this one alone.
	Together int
}

// Type is that of the tensor or of the cache.
func (l Layer) Type() string {
	if l.Weight == nil {
		return l.KV
	}
	return l.Weight.Type.String()
}

// Strategy is how a device computes a layer.
type Strategy struct {
	Kernel string // the device's own name for it
	Access string // in what form the weights are read
}

// Strategist is a Device that can say which kernel it will use for a layer
// when a batch has that many rows. The answer comes from what its Forward
// itself decides by. Errors are those of loading the layer.
type Strategist interface {
	Strategy(l Layer, rows int) (Strategy, error)
}

// EmbedKind is the Kind of the layer that is looked up, not multiplied.
const EmbedKind = "token_embd"

// Layers lists the layers of a network in the order in which a row meets them,
// the attention of each block once for each type of cache.
func Layers(m *graph.Model, kvTypes ...string) []Layer {
	list := []Layer{{Kind: EmbedKind, Weight: m.Embed.Weight, In: m.Embed.Hidden, Out: m.Embed.Vocab}}
	add := func(kind string, l *graph.Linear, beside ...*graph.Linear) {
		layer := Layer{Kind: kind, Weight: l.Weight, In: l.In, Out: l.Out}
		for _, b := range beside {
			layer.Together += b.Out
		}
		list = append(list, layer)
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		add("attn_q", &b.Q, &b.Q, &b.K, &b.V)
		add("attn_k", &b.K, &b.Q, &b.K, &b.V)
		add("attn_v", &b.V, &b.Q, &b.K, &b.V)
		for _, kv := range kvTypes {
			list = append(list, Layer{Kind: "attention", In: b.KeyDim, KV: kv, Block: b})
		}
		add("attn_output", &b.O)
		add("ffn_gate", &b.Gate, &b.Gate, &b.Up)
		add("ffn_up", &b.Up, &b.Gate, &b.Up)
		add("ffn_down", &b.Down)
	}
	if m.Head.Pooling == graph.PoolNone {
		add("output", &m.Head.Out)
	}
	return list
}

// Shape is the layer's size for people.
func (l Layer) Shape() string {
	if l.Weight == nil {
		return fmt.Sprint(l.In)
	}
	return fmt.Sprintf("%d×%d", l.In, l.Out)
}
