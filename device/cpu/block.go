package cpu

import (
	"fmt"
	"sync/atomic"

	"tritflow/device"
	"tritflow/graph"
	"tritflow/quantkern"
)

// block is one transformer block ready to run, with its KV pages.
type block struct {
	stage string // "blk.3"
	spec  graph.Block

	attnNorm, qNorm, kNorm, attnSub *norm
	ffnNorm, ffnSub                 *norm
	attnPost, ffnPost               *norm // of what is added to the residual stream
	q, k, v, o, gate, up, down      *linear
	ropeFactors                     []float32
	activate                        func(dst, gate, up []float32)

	kv      *quantkern.KVPages
	kvBytes atomic.Int64
}

// block loads one block; what it took of the weights is in h.
func (h *holding) block(g *graph.Block, kv device.KV) (*block, error) {
	b := &block{stage: fmt.Sprintf("blk.%d", g.Index), spec: *g}
	switch g.Activation {
	case graph.SiLU:
		b.activate = quantkern.SiLUMul
	case graph.ReLU2:
		b.activate = quantkern.ReLU2Mul
	case graph.GELU:
		b.activate = quantkern.GELUMul
	default:
		return nil, &device.BatchError{Reason: fmt.Sprintf("%s asks for activation %d, which the CPU device does not know", b.stage, g.Activation)}
	}
	for _, n := range []struct {
		dst   **norm
		src   *graph.Norm
		width int
	}{
		{&b.attnNorm, &g.AttnNorm, g.Hidden},
		{&b.qNorm, g.QNorm, g.KeyDim},
		{&b.kNorm, g.KNorm, g.KeyDim},
		{&b.attnSub, g.AttnSubNorm, g.Heads * g.ValueDim},
		{&b.ffnNorm, &g.FFNNorm, g.Hidden},
		{&b.ffnSub, g.FFNSubNorm, g.FFN},
		{&b.attnPost, g.AttnPostNorm, g.Hidden},
		{&b.ffnPost, g.FFNPostNorm, g.Hidden},
	} {
		var err error
		if *n.dst, err = h.norm(n.src, n.width); err != nil {
			return nil, err
		}
	}
	for _, l := range []struct {
		dst *(*linear)
		src *graph.Linear
	}{
		{&b.q, &g.Q}, {&b.k, &g.K}, {&b.v, &g.V}, {&b.o, &g.O}, {&b.gate, &g.Gate}, {&b.up, &g.Up}, {&b.down, &g.Down},
	} {
		var err error
		if *l.dst, err = h.linear(l.src); err != nil {
			return nil, err
		}
	}
	if g.Rope.Kind != graph.RopeNone && g.Rope.Factors != nil {
		var err error
		if b.ropeFactors, err = h.vector(g.Rope.Factors, g.Rope.Dims/2); err != nil {
			return nil, err
		}
	}
	return b, b.plan(h.all, kv)
}

// plan makes the block's KV pages; their memory is taken and counted when a
// page is first written.
func (b *block) plan(all *weights, kv device.KV) error {
	g := &b.spec
	pages, err := quantkern.NewKVPages(kv.Type, kv.Pages, kv.PageSize, g.KVHeads, g.KeyDim, g.ValueDim, func(bytes int64) {
		b.kvBytes.Add(bytes)
		all.ledger.Add(device.KVCache, bytes)
	})
	if err != nil {
		return &device.KVError{Device: all.device, Type: kv.Type, Reason: err.Error(), Err: err}
	}
	b.kv = pages
	return nil
}

// widths of the rows of the qkv buffer: queries, keys, values.
func (b *block) widths() (queries, keys, values int) {
	return b.spec.Heads * b.spec.KeyDim, b.spec.KVHeads * b.spec.KeyDim, b.spec.KVHeads * b.spec.ValueDim
}
