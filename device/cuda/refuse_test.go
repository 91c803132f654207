//go:build cuda

package cuda

import (
	"errors"
	"strings"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/device/devtest"
	"tritflow/gguf"
	"tritflow/graph"
)

// Rows that kernels would read in part, and heads that no launch has room for, are refused.
func TestTooLarge(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g := fakeGPU(t)
	for name, enlarge := range map[string]func(b *graph.Block){
		"width":     func(b *graph.Block) { b.Hidden = mostNormed + 128 },
		"attention": func(b *graph.Block) { b.Heads, b.ValueDim = mostNormed/64+1, 64 },
		"inner":     func(b *graph.Block) { b.FFN = mostNormed + 1 },
		"head":      func(b *graph.Block) { b.Heads, b.KVHeads, b.KeyDim = 1, 1, mostPlaced+1 },
	} {
		m := devtest.OpenModel(t, devtest.Ternary)
		if m.Blocks[0].AttnSubNorm == nil || m.Blocks[0].FFNSubNorm == nil {
			t.Fatal("a model without the norms in question")
		}
		enlarge(&m.Blocks[0])
		_, err := g.LoadBlocks(t.Context(), m.Blocks, device.KV{Type: "f16", PageSize: 16, Pages: 4})
		if e, ok := errors.AsType[*device.TensorError](err); !ok || !strings.Contains(e.Reason, " values, not of ") || !strings.Contains(e.Reason, "--devices cpu") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	m := devtest.OpenModel(t, devtest.Ternary)
	m.Head.Out.In = mostNormed + 1
	if _, err := g.LoadHead(t.Context(), &m.Head); !isTensor(err) {
		t.Errorf("head: error %v", err)
	}
	// Ternary layers round their rows, whether these are normalized or not.
	typ, _ := gguf.TypeByName("I2_S")
	for _, in := range []int{mostNormed, mostNormed + 128} {
		w := &gguf.Tensor{Name: "blk.0.ffn_down.weight", Type: typ, Dims: []uint64{uint64(in), 4}, Data: make([]byte, 4*in/4+32)}
		if _, err := g.uniform(&graph.Linear{Weight: w, Out: 4, In: in}); isTensor(err) != (in > mostNormed) || err != nil && !isTensor(err) {
			t.Errorf("%d inputs: error %v", in, err)
		}
	}
}

// What is refused when it is loaded is refused when it is planned.
func TestPlansAreRefusedAlike(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	g := fakeGPU(t)
	for name, change := range map[string]func(m *graph.Model){
		"scaled embedding": func(m *graph.Model) { m.Embed.Scale = 2 },
		"norm behind":      func(m *graph.Model) { m.Blocks[1].FFNPostNorm = m.Blocks[1].FFNSubNorm },
		"norm of a layer":  func(m *graph.Model) { m.Blocks[1].Up.Pre = m.Blocks[1].FFNSubNorm },
		"activation":       func(m *graph.Model) { m.Blocks[1].Activation = graph.GELU },
		"pooling":          func(m *graph.Model) { m.Head.Pooling = graph.PoolNone + 1 },
		"long rows":        func(m *graph.Model) { m.Blocks[1].FFN = mostNormed + 1 },
	} {
		m := devtest.OpenModel(t, devtest.Ternary)
		change(m)
		_, err := g.Estimate(device.Part{Embed: &m.Embed, Blocks: m.Blocks, Head: &m.Head}, device.Sizes{Rows: 16, Outputs: 1, Positions: 64, Batches: 1})
		if !isTensor(err) {
			t.Errorf("%s: planned, error %v", name, err)
		}
		if _, err := devtest.Load(t.Context(), m, device.KV{Type: "f16", PageSize: 16, Pages: 4}, g); !isTensor(err) || !device.Elsewhere(err) {
			t.Errorf("%s: loaded, error %v", name, err)
		}
	}
}

func isTensor(err error) bool {
	_, is := errors.AsType[*device.TensorError](err)
	return is
}
