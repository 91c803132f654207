//go:build cuda

package cuda

import (
	"context"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/gguf"
	"tritflow/graph"
)

// head is the loaded final norm and projection onto the vocabulary.
type head struct {
	g      *gpu
	held   holding
	norm   *norm
	out    *layer
	hidden int
	vocab  int
}

// headStage is the head's number in note_bad (kernels/common.cuh).
const headStage = 1023

// mostTop is up to how many of the largest logits the GPU picks; beyond it gives whole rows.
const mostTop = 1024

func loadHead(ctx context.Context, g *gpu, h *graph.Head) (device.Head, error) {
	p := &head{g: g, held: holding{g: g}, hidden: h.Out.In, vocab: h.Vocab}
	loaded, err := load(ctx, g, "the head", p, func(p *head) error {
		return gguf.Guard(func() (err error) {
			if p.norm, err = p.held.norm(&h.Norm, p.hidden); err != nil {
				return err
			}
			p.out, err = p.held.layer([]*graph.Linear{&h.Out}, []int{0})
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return loaded, nil
}

// Forward computes the logits of the rows in b.Outputs, waits for them, and marks the
// sequences of which any part made values that are not finite.
func (p *head) Forward(ctx context.Context, b *device.Batch, x device.Hidden, done device.Worked) (device.Logits, error) {
	h, err := p.g.adopt(ctx, x)
	if err != nil {
		return nil, err
	}
	defer h.Release()
	if err := b.Check(); err != nil {
		return nil, err
	}
	if err := checkShape(b, h, p.hidden); err != nil {
		return nil, err
	}
	if err := p.g.ready(ctx, p); err != nil {
		return nil, err
	}
	l := newLogits(b, p.vocab)
	err = p.g.queue.do(func() error {
		if h.err != nil {
			if done != nil {
				p.g.skipped(done)
			}
			return h.err
		}
		return p.run(b, h, l, done)
	})
	if err != nil {
		return nil, err
	}
	l.fail(b, p.g.info.Name)
	return l, nil
}

// space of the head, all [outputs, …].
type headSpace struct {
	x, noted, norm, q, s, sum, logits, ids, best driver.Ptr
}

func (p *head) place(n, most int) (sp headSpace, err error) {
	stride := ceilDiv(p.hidden, chunkCols) * chunkCols
	var bytes int64
	parts := []struct {
		to   *driver.Ptr
		size int
	}{
		{&sp.ids, 4 * n * most}, {&sp.best, 4 * n * most}, {&sp.noted, 4 * n},
		{&sp.x, 4 * n * p.hidden}, {&sp.norm, 4 * n * p.hidden}, {&sp.q, n * stride}, {&sp.s, 4 * n}, {&sp.sum, 4 * n},
		{&sp.logits, 4 * n * p.vocab},
	}
	for _, a := range parts {
		*a.to = driver.Ptr(bytes)
		bytes += (int64(a.size) + 255) &^ 255
	}
	base, err := p.g.scratch.need(bytes)
	for _, a := range parts {
		*a.to += base
	}
	return sp, err
}

// run puts the head's work into the stream and reads its answers. On the queue.
func (p *head) run(b *device.Batch, h *hidden, l *logits, done device.Worked) error {
	g, n := p.g, len(l.computed)
	if n == 0 {
		return g.timed(done, func() error { return nil })
	}
	t := &tables{rows: n}
	for _, o := range l.computed {
		t.add(b.Outputs[o].Row)
	}
	wanted := t.add(l.wanted...)
	sp, err := p.place(n, l.most)
	if err != nil {
		return err
	}
	err = g.timed(done, func() error {
		at, err := g.upload(t)
		if err != nil {
			return err
		}
		err = g.kern.takeRows.run(g.stream, driver.Dim{X: n}, 256, 0, false, at, h.values(), h.bad(), sp.x, sp.noted, p.hidden)
		if err != nil {
			return g.fail("taking rows", err)
		}
		in, err := g.feed(p.out, &space{norm: sp.norm, q: sp.q, s: sp.s, sum: sp.sum}, sp.x, p.hidden, n, p.norm, true)
		if err != nil {
			return g.fail("normalizing", err)
		}
		if err := g.mul(p.out, in, result{dst: sp.logits, ld: p.vocab}); err != nil {
			return err
		}
		return g.fail("picking logits", g.kern.largest.run(g.stream, driver.Dim{X: n}, mostTop, 0, true,
			sp.logits, p.vocab, at.Offset(int64(4*wanted)), l.most, sp.ids, sp.best, sp.noted))
	})
	if err != nil {
		return err
	}
	return p.read(l, &sp)
}

// read waits for the answers and copies them out.
func (p *head) read(l *logits, sp *headSpace) error {
	g, n := p.g, len(l.computed)
	bytes := 4 * n * (2*l.most + 1)
	if g.answers == nil || len(g.answers.Bytes()) < bytes {
		if g.answers != nil {
			if err := g.answers.Free(); err != nil {
				return g.fail("freeing pinned memory", err)
			}
			g.answers = nil
		}
		b, err := g.ctx.AllocHost(max(64<<10, 2*bytes))
		if err != nil {
			return g.fail("taking pinned memory", err)
		}
		g.answers = b
	}
	at := 0
	for _, part := range []struct {
		from  driver.Ptr
		words int
	}{{sp.noted, n}, {sp.ids, n * l.most}, {sp.best, n * l.most}} {
		if part.words == 0 {
			continue
		}
		if err := g.stream.CopyOutAsync(g.answers.At(4*at), part.from, int64(4*part.words)); err != nil {
			return g.fail("copying answers", err)
		}
		at += part.words
	}
	if err := g.stream.Synchronize(); err != nil {
		return g.fail("computing answers", err)
	}
	g.settle()
	l.take(driver.Slice[int32](g.answers), driver.Slice[float32](g.answers))
	for i := range l.computed {
		if full := l.full(i); full != nil {
			if err := g.ctx.CopyOut(bytesOf(full), sp.logits.Offset(int64(4*i*p.vocab))); err != nil {
				return g.fail("copying logits", err)
			}
		}
	}
	return nil
}

// Close gives the head back.
func (p *head) Close() error { return p.g.unload(p) }

func (p *head) free() { p.held.release() }
