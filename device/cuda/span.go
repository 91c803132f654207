//go:build cuda

package cuda

import (
	"math"
	"unsafe"

	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// Sizes of kernels/span.cuh.
const (
	spanThreads, spanAll = 512, 512 + 96
	partWords            = 4
	spanNormed           = 16 * spanThreads // longest rows
	spanLeast            = 64               // shortest rows: CTAs look at one of several words near the end
	spanTiles            = 7                // tiles of a layer that a CTA may have
)

// spanLayer, spanNorm and spanBlock are SpanLayer, SpanNorm and SpanBlock of kernels/span.cuh.
type spanLayer struct {
	weights, columns, scale, factor driver.Ptr
	tiles, chunks                   int64
}

type spanNorm struct {
	weight driver.Ptr
	eps    float32
	_      float32
}

type spanBlock struct {
	layers [4]spanLayer
	norms  [4]spanNorm
	k, v   driver.Ptr
}

// spanArgs are the words of the structure Span, fewSpanArgs those of SpanFew (kernels/span_few.cuh).
type (
	spanArgs    [24]uint64
	fewSpanArgs [len(spanArgs{}) + 3]uint64
)

// span runs all blocks of a part as one kernel, for steps of one row that decodes, where the
// GPU and the shapes allow it.
type span struct {
	k      *kernel
	blocks driver.Ptr // [blocks]spanBlock
	ctas   int
	area   int // bytes of a CTA's shared memory for codes and attention
	shared int // and for weights besides
	few    *fewSpan

	room spanRoom
}

// spanRoom is memory in which CTAs tell each other what they have computed.
type spanRoom struct {
	arena
	chunks int // of attention, for which there is room
}

// span prepares the blocks of a part; nil where they are not for it. On the queue.
func (p *blocks) span() (*span, error) {
	g, first := p.g, p.list[0]
	s := &first.spec
	if !g.kern.spanned || !tensorKept(first.cache.kept) || p.sizes.real || p.sizes.apart {
		return nil, nil
	}
	k := g.kern.attention(s.KeyDim, first.cache.kept)
	sp := &span{k: &k.span, ctas: g.props.SMs}
	// Fragments, scores, queries, and queries, a key and a value before their rotation.
	attention := k.bytes + 4<<10 + (2*8+4*10)*s.KeyDim
	layers := func(b *block) []*layer { return []*layer{b.qkv, b.o, b.expand, b.down} }
	for _, l := range layers(first) {
		if len(l.groups) != 1 || !l.ternary {
			return nil, nil
		}
	}
	list := make([]spanBlock, len(p.list))
	for i, b := range p.list {
		o := &b.spec
		if o.Hidden != s.Hidden || o.FFN != s.FFN || o.Heads != s.Heads || o.KVHeads != s.KVHeads || o.Activation != s.Activation || o.AttnScale != s.AttnScale ||
			o.Index != s.Index+i || b.cache.shape != first.cache.shape || b.turn != first.turn || b.qNorm != nil || b.kNorm != nil || !b.product {
			return nil, nil
		}
		for j, l := range layers(b) {
			if len(l.groups) != 1 || !l.ternary || l.groups[0].t.bias != 0 || l.groups[0].t.tiles != layers(first)[j].groups[0].t.tiles {
				return nil, nil
			}
		}
		list[i] = b.spanned()
	}
	widest := max(s.Hidden, s.Heads*s.KeyDim, s.FFN)
	if widest > spanNormed || min(s.Hidden, s.FFN) < spanLeast || s.Hidden%4 != 0 || s.FFN%4 != 0 || (s.Heads+2*s.KVHeads)*s.KeyDim > math.MaxInt16 || s.Heads/s.KVHeads > 8 || first.o.groups[0].t.tiles != first.down.groups[0].t.tiles {
		return nil, nil
	}
	info, err := sp.k.f.Info()
	if err != nil {
		return nil, g.fail("asking about a kernel", err)
	}
	dynamic := g.props.SharedOptin - info.Shared
	if err := sp.k.f.AllowShared(dynamic); err != nil {
		return nil, g.fail("preparing a kernel", err)
	}
	sp.area = codesOf(widest) + attention
	sp.shared = sp.area
	sp.ctas = min(sp.ctas, tellers(s, layers(first)))
	for _, l := range layers(first) {
		t := l.groups[0].t
		n := ceilDiv(t.tiles, sp.ctas)
		if n > spanTiles {
			return nil, nil
		}
		sp.shared += n * t.chunks * tileBytes
	}
	if sp.shared > dynamic {
		return nil, nil
	}
	if sp.blocks, err = p.held.put("blocks", bytesOf(list)); err != nil {
		return nil, err
	}
	sp.few, err = p.fewSpan(layers(first), attention)
	return sp, err
}

// tellers is how many CTAs can have an output of every layer. One that tells nothing of a layer would not be known to
// have read its input (kernels/span.cuh), and a tile may be there to make their number even.
func tellers(s *graph.Block, layers []*layer) int {
	n := min(ceilDiv(s.Hidden, tileRows), ceilDiv(s.FFN, halfOfTile))
	for _, l := range layers {
		n = min(n, l.groups[0].t.tiles)
	}
	return n
}

// spanned is a block as the kernel sees it.
func (b *block) spanned() spanBlock {
	of := func(l *layer) spanLayer {
		t := l.groups[0].t
		return spanLayer{t.weights, t.columns, t.scale, t.factor, int64(t.tiles), int64(t.chunks)}
	}
	norm := func(n *norm) spanNorm {
		if n == nil {
			return spanNorm{}
		}
		return spanNorm{weight: n.weight, eps: n.eps}
	}
	return spanBlock{
		[4]spanLayer{of(b.qkv), of(b.o), of(b.expand), of(b.down)},
		[4]spanNorm{norm(b.attnNorm), norm(b.attnSub), norm(b.ffnNorm), norm(b.ffnSub)},
		b.cache.k, b.cache.v,
	}
}

func (sp *span) drop() {
	sp.room.drop()
	if sp.few != nil {
		sp.few.room.drop()
	}
}

// takes tells whether a step goes this way.
func (sp *span) takes(t *tables) bool {
	return sp != nil && t.decodeAll && (t.rows == 1 || sp.few.takes(t))
}

// spanWords are the words that a row takes in the room, with so many chunks.
func spanWords(s *graph.Block, chunks int) int {
	return (s.Heads+2*s.KVHeads)*s.KeyDim + s.Heads*s.KeyDim + 2*s.Hidden + s.FFN + 2*s.Heads*chunks*(s.KeyDim+partWords)
}

// reach makes room for so many chunks: bytes says how much they take, of which `coded` at the end
// are codes. On the queue.
func (r *spanRoom) reach(g *gpu, chunks int, bytes func(chunks int) int64, coded int64) error {
	if chunks <= r.chunks {
		return nil
	}
	chunks = max(chunks, 2*r.chunks, 8)
	r.g, r.what = g, "what CTAs tell each other"
	all := bytes(chunks)
	r.chunks = 0 // until the larger room is there and cleared
	at, err := r.need(all)
	if err != nil {
		return err
	}
	// Nothing is told yet: kernels/span.cuh and span_few.cuh say why these bytes.
	if err := g.ctx.Fill(at, 0xff, all-coded); err != nil {
		return g.fail("clearing memory", err)
	}
	if err := g.ctx.Fill(at.Offset(all-coded), 0x80, coded); err != nil {
		return g.fail("clearing memory", err)
	}
	r.chunks = chunks
	return nil
}

// runSpan puts a step into the stream. On the queue.
func (p *blocks) runSpan(s *step) error {
	g, sp := p.g, p.spans
	if s.tables.rows > 1 {
		return p.runFewSpan(s)
	}
	spec := &p.list[0].spec
	if err := sp.room.reach(g, ceilDiv(s.tables.longest, positionsOfChunk), func(n int) int64 { return 4 * int64(spanWords(spec, n)) }, 0); err != nil {
		return err
	}
	args := p.spanArgs(s, &sp.room, sp.area)
	return g.runTogether(sp.k, sp.ctas, spanAll, sp.shared, &args)
}

// spanArgs says where a step's things are.
func (p *blocks) spanArgs(s *step, room *spanRoom, area int) spanArgs {
	b := p.list[0]
	spec := &b.spec
	var cos, sin driver.Ptr
	if b.turn != nil {
		cos, sin = b.turn.cos.ptr, b.turn.sin.ptr
	}
	args := spanArgs{uint64(p.spans.blocks), uint64(len(p.list)), uint64(1 + spec.Index), uint64(s.at), uint64(s.word(s.tables.pages)), uint64(cos), uint64(sin),
		uint64(s.h.values()), uint64(s.h.bad()), uint64(room.m.ptr), uint64(spec.Hidden), uint64(spec.FFN), uint64(spec.Activation),
		uint64(room.chunks), uint64(area), uint64(math.Float32bits(spec.AttnScale))}
	for i, v := range b.cache.shape {
		args[16+i] = uint64(v)
	}
	return args
}

// What is copied to the GPU must be what the kernel reads.
var _ = [1]struct{}{}[spanBlockBytes-(4*48+4*16+16)]

const spanBlockBytes = unsafe.Sizeof(spanBlock{})
