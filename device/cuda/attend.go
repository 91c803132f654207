//go:build cuda

package cuda

import (
	"fmt"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// Kept, as kernels/kept.cuh numbers it.
const (
	keptHalves = iota // f16, values transposed within a page, for the tensor cores
	keptF32
	keptF16
	keptQ8
	keptBytes // q8_0, codes and scales apart and values transposed, for the tensor cores
)

func kvTypes() []string { return []string{"f16", "f32", "q8_0"} }

// cache is the pages of one block. Page p of the keys begins at k + p × its bytes.
type cache struct {
	kept, pageSize int
	k, v           driver.Ptr
	shape          shape
}

// shape is the structure Shape of kernels/kept.cuh.
type shape [8]int64

// keeps is how a block's keys and values are kept, and the bytes of all their pages.
func (g *gpu) keeps(b *graph.Block, kv device.KV) (kept int, keys, values int64, err error) {
	perBlock, block := 1, 0
	switch kv.Type {
	case "f32":
		kept, block = keptF32, 4
	case "q8_0":
		kept, perBlock, block = keptQ8, q8Values, q8Bytes
		if onTensorCores(b, kv.PageSize) {
			kept = keptBytes
		}
		if b.KeyDim%32 != 0 || b.ValueDim%32 != 0 {
			return 0, 0, 0, &device.KVError{Device: g.info.Name, Type: kv.Type,
				Reason: fmt.Sprintf("heads of %d and %d values are not whole blocks of 32; f16 takes any", b.KeyDim, b.ValueDim)}
		}
	default:
		kept, block = keptF16, 2
		if onTensorCores(b, kv.PageSize) {
			kept = keptHalves
		}
	}
	bytes := func(dim int) int64 {
		return int64(kv.Pages*kv.PageSize*b.KVHeads*dim/perBlock) * int64(block)
	}
	return kept, bytes(b.KeyDim), bytes(b.ValueDim), nil
}

// cache takes memory for all pages of a block.
func (h *holding) cache(g *graph.Block, kv device.KV) (cache, error) {
	c := cache{pageSize: kv.PageSize}
	var keys, values int64
	var err error
	if c.kept, keys, values, err = h.g.keeps(g, kv); err != nil {
		return c, err
	}
	kind := map[graph.RopeKind]int64{graph.RopeNeoX: 1, graph.RopeNormal: 2}[g.Rope.Kind]
	c.shape = shape{int64(g.Heads), int64(g.KVHeads), int64(g.KeyDim), int64(g.ValueDim), kind, int64(g.Rope.Dims), int64(c.kept), int64(kv.PageSize)}
	for _, p := range []struct {
		to    *driver.Ptr
		bytes int64
	}{{&c.k, keys}, {&c.v, values}} {
		if *p.to, err = h.take(device.KVCache, fmt.Sprintf("KV pages of blk.%d", g.Index), p.bytes); err != nil {
			return c, err
		}
		// Memory that was never written must not look like infinities.
		if err := h.g.ctx.Fill(*p.to, 0, p.bytes); err != nil {
			return c, h.g.fail("clearing KV pages", err)
		}
	}
	return c, nil
}

// onTensorCores tells whether attn_chunks and attn_rows take a block's shape.
func onTensorCores(g *graph.Block, pageSize int) bool {
	return g.KeyDim == g.ValueDim && (g.KeyDim == 64 || g.KeyDim == 128) && pageSize%16 == 0
}

// tensorKept tells whether the tensor cores read what is kept so.
func tensorKept(kept int) bool { return kept == keptHalves || kept == keptBytes }

// decodes tells whether a step's attention takes queries, keys and values as the projections
// leave them: all its rows decode, and nothing stands between but the rotation.
func (b *block) decodes(s *step) bool {
	return s.tables.decodeAll && tensorKept(b.cache.kept) && plain(&b.spec)
}

// plain tells whether queries and keys are only turned.
func plain(g *graph.Block) bool { return g.QNorm == nil && g.KNorm == nil }

// apart tells whether every KV head of a row is a block's work, all positions of it: where
// there are as many as the GPU can have at work, and more than clusters are for. (Else chunks of positions are.)
func (b *block) apart(g *gpu, s *step) bool {
	return b.decodes(s) && g.enough(&b.spec, s.tables.rows) && !b.clustered(g, s)
}

// enough tells whether there is a KV head of a row for every multiprocessor.
func (g *gpu) enough(spec *graph.Block, rows int) bool {
	return spec.Heads/spec.KVHeads <= 16 && rows*spec.KVHeads >= eachFrom*g.props.SMs
}

// eachFrom is from how many blocks on a multiprocessor apart pays where clusters are no choice (BenchmarkBlock).
const eachFrom = 1

// folds tells whether a step's attention ends with the quantized input of the output layer.
func (b *block) folds(g *gpu, s *step) bool {
	return b.decodes(s) && !b.apart(g, s) && !b.clustered(g, s) && !b.o.real && b.spec.Heads*b.spec.ValueDim <= mostNarrow
}

// decode is attention for a step that folds.
func (g *gpu) decode(b *block, s *step, k *attention, cos, sin driver.Ptr) error {
	spec, sp, t, c := &b.spec, &s.space, s.tables, &b.cache
	err := k.decode.run(g.stream, driver.Dim{X: sp.chunks, Y: spec.KVHeads, Z: t.rows}, 128, 0, true,
		sp.qkv, c.k, c.v, s.at, s.word(t.pages), cos, sin, sp.most, sp.total, sp.parts, sp.chunks, spec.AttnScale, &c.shape)
	if err != nil {
		return g.fail("attention", err)
	}
	cols := spec.Heads * spec.ValueDim
	fold := &k.folds.narrow
	if cols > 12*normLanes {
		fold = &k.folds.wide
	}
	var weight driver.Ptr
	var eps float32
	if b.attnSub != nil {
		weight, eps = b.attnSub.weight, b.attnSub.eps
	}
	warps := min(max(spec.Heads, normLanes/32), 20)
	return g.fail("attention", fold.run(g.stream, driver.Dim{X: t.rows}, 32*warps, 4*cols, true,
		sp.most, sp.total, sp.parts, s.at, weight, eps, sp.q, sp.s, sp.sum, spec.Heads, sp.chunks, g.coded(b.o, t.rows, cols)))
}

// attendApart is attention for a step of which every KV head of a row is a block's.
func (g *gpu) attendApart(b *block, s *step, k *attention, cos, sin driver.Ptr) error {
	spec, sp, t, c := &b.spec, &s.space, s.tables, &b.cache
	return g.fail("attention", k.each.run(g.stream, driver.Dim{X: spec.KVHeads, Y: t.rows}, 128, 2*k.bytes, true,
		sp.qkv, c.k, c.v, s.at, s.word(t.pages), cos, sin, sp.att, spec.AttnScale, &c.shape))
}

// attend puts queries, keys and values in place and computes attention, into sp.att.
func (g *gpu) attend(b *block, s *step) error {
	spec, sp, t, c := &b.spec, &s.space, s.tables, &b.cache
	rows, table := s.at, s.word(t.pages)
	var cos, sin, qw, kw driver.Ptr
	var qe, ke float32
	if b.turn != nil {
		cos, sin = b.turn.cos.ptr, b.turn.sin.ptr
	}
	if b.qNorm != nil {
		qw, qe = b.qNorm.weight, b.qNorm.eps
	}
	if b.kNorm != nil {
		kw, ke = b.kNorm.weight, b.kNorm.eps
	}
	k := g.kern.attention(spec.KeyDim, c.kept)
	if b.apart(g, s) {
		return g.attendApart(b, s, k, cos, sin)
	}
	if c := b.cluster(g, s); c != nil {
		return g.attendClusters(b, s, c, cos, sin)
	}
	if b.folds(g, s) {
		return g.decode(b, s, k, cos, sin)
	}
	wide := max(spec.KeyDim, spec.ValueDim)
	err := g.kern.placeRows.run(g.stream, driver.Dim{X: ceilDiv(spec.Heads+2*spec.KVHeads, 4), Y: t.rows}, 128, 16*wide, true,
		sp.qkv, rows, table, cos, sin, qw, kw, qe, ke, sp.queries, c.k, c.v, &c.shape)
	if err != nil {
		return g.fail("placing rows", err)
	}
	if !tensorKept(c.kept) {
		err := g.kern.attendAny.run(g.stream, driver.Dim{X: spec.Heads, Y: t.rows}, 128, 4*(spec.KeyDim+spec.ValueDim), true,
			sp.queries, c.k, c.v, rows, table, sp.att, spec.AttnScale, &c.shape)
		return g.fail("attention", err)
	}
	group := spec.Heads / spec.KVHeads
	if t.nFew > 0 {
		var list driver.Ptr
		if !t.decodeAll {
			list = s.word(t.few)
		}
		err := k.chunks.run(g.stream, driver.Dim{X: sp.chunks, Y: spec.KVHeads, Z: t.nFew}, 128, 0, true,
			sp.queries, c.k, c.v, rows, table, list, sp.most, sp.total, sp.parts, group, c.pageSize, sp.chunks, spec.AttnScale)
		if err == nil {
			err = k.folds.combine.run(g.stream, driver.Dim{X: ceilDiv(spec.Heads, 4), Y: t.nFew}, 128, 0, true,
				sp.most, sp.total, sp.parts, rows, list, sp.att, spec.Heads, sp.chunks)
		}
		if err != nil {
			return g.fail("attention", err)
		}
	}
	if t.nTiles > 0 {
		err := k.rows.run(g.stream, driver.Dim{X: spec.KVHeads, Y: t.nTiles, Z: ceilDiv(tileTokens*group, 64)}, 128, k.rowBytes(spec.KeyDim), true,
			sp.queries, c.k, c.v, rows, table, s.word(t.tiles), sp.att, group, c.pageSize, spec.AttnScale)
		if err != nil {
			return g.fail("attention", err)
		}
	}
	return nil
}
