//go:build cuda

package cuda

import (
	"context"
	"time"

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
	screen *screen // nil: none
	hidden int
	vocab  int
}

// headStage is the head's number in note_bad (kernels/common.cuh).
const headStage = 1023

// mostTop is up to how many of the largest logits the GPU picks; beyond it gives whole rows.
const mostTop = 1024

func loadHead(ctx context.Context, g *gpu, h *graph.Head) (device.Head, error) {
	if err := refuseHead(g.info.Name, h); err != nil {
		return nil, err
	}
	p := &head{g: g, held: holding{g: g}, hidden: h.Out.In, vocab: h.Vocab}
	loaded, err := load(ctx, g, "the head", p, func(p *head) error {
		return gguf.Guard(func() (err error) {
			if p.norm, err = p.held.norm(&h.Norm, p.hidden); err != nil {
				return err
			}
			if p.out, err = p.held.layer([]*graph.Linear{&h.Out}, []int{0}); err != nil {
				return err
			}
			if why := g.screenable(p.out); why != "" {
				g.screened.set("off", why)
				return nil
			}
			if p.screen, err = p.held.screen(p.out.groups[0].d); p.screen != nil {
				g.screened.bytes.Add(p.screen.bytes)
				g.screened.set("ready", "")
			}
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

// headSpace is scratch memory of the head, all [outputs, …].
type headSpace struct {
	noted, ids, best           driver.Ptr // answers, one behind the other
	states, counts             driver.Ptr // of screening, behind them
	x, norm, q, s, sum, logits driver.Ptr
	screenSpace                // of a pass
}

// pieces are what n outputs need, of which whole get all their logits.
func (p *head) pieces(sp *headSpace, n, most, whole int, screened bool) []sized {
	parts := []sized{
		{&sp.noted, 4 * answerWords(n, most, true)},
		{&sp.x, 4 * n * p.hidden}, {&sp.norm, 4 * n * p.hidden}, {&sp.q, codesRoom(n, p.hidden)}, {&sp.s, 4 * n}, {&sp.sum, 4 * n},
		{&sp.logits, 4 * whole * p.vocab},
	}
	if screened {
		parts = append(parts, p.screen.room(&sp.screenSpace, min(n, screenRows), most)...)
	}
	return parts
}

// place makes room for n outputs, of which whole get all their logits.
func (p *head) place(n, most, whole int, screened bool) (sp headSpace, err error) {
	err = p.g.scratch.place(p.pieces(&sp, n, most, whole, screened))
	at := sp.noted.Offset(int64(4 * n))
	sp.ids, sp.best = at, at.Offset(int64(4*n*most))
	sp.states = sp.best.Offset(int64(4 * n * most))
	sp.counts = sp.states.Offset(int64(4 * n))
	return sp, err
}

// answerWords is how many words the answers of n rows are, with those of screening.
func answerWords(n, most int, screened bool) int {
	words := n * (1 + 2*most)
	if screened {
		words += 2 * n
	}
	return words
}

// screenable tells whether bounds can answer all outputs at hand.
func (p *head) screenable(l *logits) bool {
	if p.screen == nil || l.whole != nil || l.most > min(mostScreened, p.vocab) {
		return false
	}
	for _, k := range l.wanted {
		if k < 1 {
			return false
		}
	}
	return true
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
	screened := p.screenable(l)
	whole := n
	if screened {
		whole = 1
	}
	sp, err := p.place(n, l.most, whole, screened)
	if err != nil {
		return err
	}
	var want driver.Ptr
	err = g.timed(done, func() error {
		at, err := g.upload(t)
		if err != nil {
			return err
		}
		want = at.Offset(int64(4 * wanted))
		err = g.kern.takeRows.run(g.stream, driver.Dim{X: n}, 256, 0, false, at, h.values(), h.bad(), sp.x, sp.noted, p.hidden)
		if err != nil {
			return g.fail("taking rows", err)
		}
		in, err := g.feed(p.out, &space{norm: sp.norm, q: sp.q, s: sp.s, sum: sp.sum}, sp.x, p.hidden, n, p.norm, true)
		if err != nil {
			return err
		}
		if !screened {
			g.screened.full.Add(uint64(n))
			return p.full(in, &sp, l.most, want)
		}
		for i := 0; i < n; i += screenRows {
			row := func(from driver.Ptr, width int) driver.Ptr { return from.Offset(int64(4 * i * width)) }
			err := p.screen.run(g, &sp.screenSpace, row(sp.norm, p.hidden), min(screenRows, n-i), l.most,
				row(want, 1), row(sp.ids, l.most), row(sp.best, l.most), row(sp.states, 1), row(sp.counts, 1))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	states, err := p.read(l, &sp, screened)
	if err != nil || !screened {
		return err
	}
	left := 0
	for i, s := range states {
		if s == 0 {
			continue
		}
		left++
		in := input{rows: 1, cols: p.hidden, x: sp.norm.Offset(int64(4 * i * p.hidden))}
		one := headSpace{logits: sp.logits, ids: sp.ids.Offset(int64(4 * i * l.most)), best: sp.best.Offset(int64(4 * i * l.most)), noted: sp.noted.Offset(int64(4 * i))}
		if err := p.full(in, &one, l.most, want.Offset(int64(4*i))); err != nil {
			return err
		}
	}
	g.screened.screened.Add(uint64(n - left))
	g.screened.full.Add(uint64(left))
	g.screened.fallback.Add(uint64(left))
	if left > 0 {
		_, err = p.read(l, &sp, false)
	}
	return err
}

// full computes all logits of the input's rows and picks the largest.
func (p *head) full(in input, sp *headSpace, most int, want driver.Ptr) error {
	g := p.g
	if err := g.mul(p.out, in, result{dst: sp.logits, ld: p.vocab}); err != nil {
		return err
	}
	return g.fail("picking logits", g.kern.largest.run(g.stream, driver.Dim{X: in.rows}, mostTop, 0, true,
		sp.logits, p.vocab, want, most, sp.ids, sp.best, sp.noted))
}

// read waits for the answers and copies them out. The states, of screened rows, are valid
// until the next call.
func (p *head) read(l *logits, sp *headSpace, screened bool) (states []int32, err error) {
	g, n := p.g, len(l.computed)
	at := answerWords(n, l.most, screened)
	if err := g.hostRoom(&g.answers, 4*at); err != nil {
		return nil, err
	}
	if err := g.stream.CopyOutAsync(g.answers.At(0), sp.noted, int64(4*at)); err != nil {
		return nil, g.fail("copying answers", err)
	}
	g.tell()
	if err := g.stream.Synchronize(); err != nil {
		return nil, g.fail("computing answers", err)
	}
	g.waited = waited{len(g.pending), time.Now()}
	g.queue.leave()
	words := driver.Slice[int32](g.answers)
	l.take(words, driver.Slice[float32](g.answers))
	for i := range l.computed {
		if full := l.full(i); full != nil {
			if err := g.ctx.CopyOut(bytesOf(full), sp.logits.Offset(int64(4*i*p.vocab))); err != nil {
				return nil, g.fail("copying logits", err)
			}
		}
	}
	if screened {
		states = words[at-2*n : at-n]
		rescored := 0
		for _, c := range words[at-n : at] {
			rescored += int(c)
		}
		g.screened.rescored.Add(uint64(rescored))
	}
	return states, nil
}

// Close gives the head back.
func (p *head) Close() error { return p.g.unload(p) }

func (p *head) free() {
	if p.screen != nil {
		p.g.screened.bytes.Add(-p.screen.bytes)
	}
	p.held.release()
}
