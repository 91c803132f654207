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
	spanThreads, spanRows = 512, 8
	partWords             = 4
	spanNormed            = 16 * spanThreads // longest rows
	spanTiles             = 7                // tiles of a layer that a CTA may have
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

// spanArgs are the words of the structure Span.
type spanArgs [25]uint64

// span runs all blocks of a part as one kernel, for steps of few rows that decode, where the
// GPU and the shapes allow it.
type span struct {
	one, more *kernel    // for a row, for several
	blocks    driver.Ptr // [blocks]spanBlock
	ctas      int
	few       int // rows of a step that goes this way
	most      int // rows at a time
	bytes     int // of weights in a CTA's shared memory
	spare     int // bytes of shared memory beside those
	stride    int // bytes of the longest row of codes
	least     int // bytes that attention needs of the spare ones

	room   arena
	chunks int // of attention, that the room holds
}

// span prepares the blocks of a part; nil where they are not for it. On the queue.
func (p *blocks) span() (*span, error) {
	g, first := p.g, p.list[0]
	s := &first.spec
	if !g.kern.spanned || first.cache.kept != keptHalves || p.sizes.real || p.sizes.apart {
		return nil, nil
	}
	sp := &span{few: spanFew, one: &g.kern.spanOne128, more: &g.kern.spanFew128, ctas: g.props.SMs, least: 32<<10 + 4<<10 + 2*8*128 + 4*10*128}
	if s.KeyDim == 64 {
		sp.one, sp.more, sp.least = &g.kern.spanOne64, &g.kern.spanFew64, 16<<10+4<<10+2*8*64+4*10*64
	}
	layers := func(b *block) []*layer { return []*layer{b.qkv, b.o, b.expand, b.down} }
	for _, l := range layers(first) {
		if len(l.groups) != 1 || !l.ternary {
			return nil, nil
		}
		// A CTA that has no tile of a layer would not know when its input is another one's.
		sp.ctas = min(sp.ctas, l.groups[0].t.tiles)
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
	if widest > spanNormed || s.Hidden%4 != 0 || s.FFN%4 != 0 || (s.Heads+2*s.KVHeads)*s.KeyDim > math.MaxInt16 || s.Heads/s.KVHeads > 8 || first.o.groups[0].t.tiles != first.down.groups[0].t.tiles {
		return nil, nil
	}
	sp.most = min(spanRows, sp.ctas)
	for _, l := range layers(first) {
		t := l.groups[0].t
		n := ceilDiv(t.tiles, sp.ctas)
		sp.bytes += n * t.chunks * tileBytes
		if n > spanTiles {
			return nil, nil
		}
		sp.most = min(sp.most, spanThreads/(8*n))
	}
	static := 0
	for _, k := range []*kernel{sp.one, sp.more} {
		info, err := k.f.Info()
		if err != nil {
			return nil, g.fail("asking about a kernel", err)
		}
		static = max(static, info.Shared)
	}
	sp.spare = g.props.SharedOptin - static - sp.bytes
	sp.stride = ceilDiv(widest, chunkCols) * chunkCols
	for sp.most > 0 && sp.area(sp.most) > sp.spare {
		sp.most--
	}
	if sp.most < 1 {
		return nil, nil
	}
	for _, k := range []*kernel{sp.one, sp.more} {
		if err := k.f.AllowShared(g.props.SharedOptin - static); err != nil {
			return nil, g.fail("preparing a kernel", err)
		}
	}
	var err error
	sp.blocks, err = p.held.put("blocks", bytesOf(list))
	return sp, err
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

// area are the bytes of shared memory for attention and for the codes of n rows.
func (sp *span) area(n int) int {
	return (max(n*sp.stride, sp.least) + 15) &^ 15
}

// spanFew is for how many rows one kernel for all is faster than a kernel for each thing
// (BenchmarkSpan).
const spanFew = 1

// takes tells whether a step goes this way.
func (sp *span) takes(t *tables) bool {
	return sp != nil && t.decodeAll && t.rows <= sp.few
}

// spanRooms are the bytes of the room for so many chunks: of codes, and in all.
func spanRooms(s *graph.Block, chunks int) (codes, all int64) {
	for _, cols := range []int{s.Hidden, s.Heads * s.KeyDim, s.Hidden, s.FFN} {
		codes += int64(spanRows * (ceilDiv(cols, chunkCols)*chunkCols + 16))
	}
	words := spanRows * ((s.Heads+2*s.KVHeads)*s.KeyDim + s.Heads*s.KeyDim + 2*s.Hidden + s.FFN)
	words = (words + 3) &^ 3
	words += 2 * spanRows * s.Heads * chunks * (s.KeyDim + partWords)
	return codes, codes + int64(4*words)
}

// runSpan puts a step into the stream. On the queue.
func (p *blocks) runSpan(s *step) error {
	g, sp, t := p.g, p.spans, s.tables
	if chunks := ceilDiv(t.longest, positionsOfChunk); chunks > sp.chunks {
		chunks = max(chunks, 2*sp.chunks, 8)
		codes, all := spanRooms(&p.list[0].spec, chunks)
		sp.room.g, sp.room.what = g, "what CTAs tell each other"
		at, err := sp.room.need(all)
		if err != nil {
			return err
		}
		// Nothing is told yet: kernels/span.cuh says why these bytes.
		if err := g.ctx.Fill(at, 0x80, codes); err != nil {
			return g.fail("clearing memory", err)
		}
		if err := g.ctx.Fill(at.Offset(codes), 0xff, all-codes); err != nil {
			return g.fail("clearing memory", err)
		}
		sp.chunks = chunks
	}
	b := p.list[0]
	spec := &b.spec
	var cos, sin driver.Ptr
	if b.turn != nil {
		cos, sin = b.turn.cos.ptr, b.turn.sin.ptr
	}
	for row := 0; row < t.rows; row += sp.most {
		n := min(sp.most, t.rows-row)
		area := sp.area(n)
		args := spanArgs{uint64(sp.blocks), uint64(len(p.list)), uint64(1 + spec.Index),
			uint64(s.at.Offset(int64(4 * rowWords * row))), uint64(s.word(t.pages)), uint64(cos), uint64(sin),
			uint64(s.h.values().Offset(int64(4 * row * spec.Hidden))), uint64(s.h.bad().Offset(int64(4 * row))), uint64(sp.room.m.ptr),
			uint64(n), uint64(spec.Hidden), uint64(spec.FFN), uint64(spec.Activation), uint64(sp.chunks), uint64(area), uint64(math.Float32bits(spec.AttnScale))}
		for i, v := range b.cache.shape {
			args[17+i] = uint64(v)
		}
		k := sp.more
		if n == 1 {
			k = sp.one
		}
		if err := k.run(g.stream, driver.Dim{X: sp.ctas}, spanThreads+32, area+sp.bytes, false, &args); err != nil {
			return g.fail("decoding", err)
		}
	}
	return nil
}

// What is copied to the GPU must be what the kernel reads.
var _ = [1]struct{}{}[spanBlockBytes-(4*48+4*16+16)]

const spanBlockBytes = unsafe.Sizeof(spanBlock{})
