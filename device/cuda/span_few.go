//go:build cuda

package cuda

import (
	"tritflow/graph"
)

// Sizes of kernels/span_few.cuh.
const (
	fewSpanAll  = spanThreads + 4*32
	fewSpanMost = 4      // rows
	tailBytes   = 4 * 20 // behind the codes of a row
)

// fewSpan runs all blocks of a part as one kernel, for steps of a few rows of as many sequences.
type fewSpan struct {
	k      *kernel
	ctas   int
	area   int // bytes of a CTA's shared memory for codes
	wide   int // for weights of the down layer with their codes, or attention
	shared int // and for other weights besides
	room   spanRoom
}

// fewSpan prepares what spans few rows; nil where the layers are not for it. attention are the bytes
// that a CTA needs for one chunk of it. On the queue.
func (p *blocks) fewSpan(layers []*layer, attention int) (*fewSpan, error) {
	g, s := p.g, &p.list[0].spec
	for _, b := range p.list {
		// Warps that have no part of such a row would be ahead of those that still look at the row before.
		if b.attnSub == nil && s.Heads*s.KeyDim < s.Hidden || b.ffnSub == nil && s.FFN < s.Hidden {
			return nil, nil
		}
	}
	f := &fewSpan{k: &g.kern.attention(s.KeyDim, p.list[0].cache.kept).fewSpan, ctas: g.props.SMs}
	info, err := f.k.f.Info()
	if err != nil {
		return nil, g.fail("asking about a kernel", err)
	}
	dynamic := g.props.SharedOptin - info.Shared
	if err := f.k.f.AllowShared(dynamic); err != nil {
		return nil, g.fail("preparing a kernel", err)
	}
	f.ctas = min(f.ctas, tellers(s, layers)+2)
	f.area = fewSpanMost * (codesOf(max(s.Hidden, s.Heads*s.KeyDim)) + tailBytes)
	// The fewest workers have the most tiles.
	workers := f.ctas - fewSpanMost
	if workers < 1 {
		return nil, nil
	}
	f.shared = f.area
	for i, l := range layers {
		t := l.groups[0].t
		n := ceilDiv(t.tiles, workers)
		if n > spanTiles {
			return nil, nil
		}
		if i < 3 {
			f.shared += n * t.chunks * tileBytes
		} else {
			f.wide = max(2*attention, n*t.chunks*tileBytes+fewSpanMost*(codesOf(s.FFN)+tailBytes))
		}
	}
	// Warps read a chunk beyond their last one.
	if f.shared += f.wide + tileBytes; f.shared > dynamic {
		return nil, nil
	}
	return f, nil
}

// takes tells whether a step of several rows goes this way.
func (f *fewSpan) takes(t *tables) bool { return f != nil && t.rows > 1 && t.rows <= fewSpanMost }

// fewSpanRoom are the bytes of the room for so many chunks, and those of codes among them.
func fewSpanRoom(s *graph.Block, chunks int) (all, coded int64) {
	for _, cols := range []int{s.Hidden, s.Heads * s.KeyDim, s.Hidden, s.FFN} {
		coded += fewSpanMost * int64(codesOf(cols)+tailBytes)
	}
	return 4*fewSpanMost*int64(spanWords(s, chunks)) + coded, coded
}

// runFewSpan puts a step of several rows into the stream. On the queue.
func (p *blocks) runFewSpan(s *step) error {
	g, f, t, spec := p.g, p.spans.few, s.tables, &p.list[0].spec
	_, coded := fewSpanRoom(spec, 0)
	bytes := func(n int) int64 {
		all, _ := fewSpanRoom(spec, n)
		return all
	}
	if err := f.room.reach(g, ceilDiv(t.longest, positionsOfChunk), bytes, coded); err != nil {
		return err
	}
	var args fewSpanArgs
	of := p.spanArgs(s, &f.room, f.area)
	n := copy(args[:], of[:])
	args[n], args[n+1], args[n+2] = uint64(t.rows), uint64(f.room.m.ptr.Offset(bytes(f.room.chunks)-coded)), uint64(f.wide)
	return g.runTogether(f.k, f.ctas, fewSpanAll, f.shared, &args)
}
