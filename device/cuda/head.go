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
	screen *screen // nil: none
	rooms  replies
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
			if p.rooms, err = p.held.replies(p.hidden); err != nil {
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
	wanted                     driver.Ptr // of screened rows
	screenSpace                           // of a pass
}

// pieces are what n outputs need, of which whole get all their logits.
func (p *head) pieces(sp *headSpace, n, most, whole int, screened bool) []sized {
	parts := []sized{
		{&sp.noted, 4 * answerWords(n, most, true)},
		{&sp.x, 4 * n * p.hidden}, {&sp.norm, 4 * n * p.hidden}, {&sp.q, codesRoom(n, p.hidden)}, {&sp.s, 4 * n}, {&sp.sum, 4 * n},
		{&sp.logits, 4 * whole * p.vocab},
	}
	if screened {
		parts = append(parts, sized{&sp.wanted, 4 * n})
		parts = append(parts, p.screen.room(&sp.screenSpace, min(n, screenRows), most)...)
	}
	return parts
}

// place makes room for n outputs, of which whole get all their logits.
func (p *head) place(n, most, whole int, screened bool) (sp headSpace, err error) {
	err = p.g.scratch.place(p.pieces(&sp, n, most, whole, screened))
	sp.answers(sp.noted, n, most)
	return sp, err
}

// answers says where the answers go.
func (sp *headSpace) answers(at driver.Ptr, n, most int) {
	sp.noted, sp.ids = at, at.Offset(int64(4*n))
	sp.best = sp.ids.Offset(int64(4 * n * most))
	sp.states = sp.best.Offset(int64(4 * n * most))
	sp.counts = sp.states.Offset(int64(4 * n))
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

// run answers what l asks of the rows of b. On the queue.
func (p *head) run(b *device.Batch, h *hidden, l *logits, done device.Worked) error {
	ps, entries := h.given.endsWith(p, b, l)
	switch {
	case ps != nil:
		ps.worked.claim(done)
		if len(l.computed) == 0 {
			return nil
		}
	case len(l.computed) == 0:
		return p.g.timed(done, func() error { return nil })
	default:
		if err := h.own(); err != nil {
			return err
		}
		var work func() error
		var err error
		if ps, work, err = p.pass(b, h, l); err == nil {
			ps.worked, err = p.g.time(&interval{done: done}, false, work)
		}
		if err != nil {
			return err
		}
	}
	p.foresee(b, h, l, ps, entries)
	err := p.finish(l, ps, entries)
	if err != nil {
		p.g.forget()
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

// Close gives the head back.
func (p *head) Close() error { return p.g.unload(p) }

func (p *head) free() {
	if p.screen != nil {
		p.g.screened.bytes.Add(-p.screen.bytes)
	}
	p.rooms.drop(p.g)
	p.held.release()
}
