package cpu

import (
	"context"
	"slices"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// head is the loaded final norm and projection onto the vocabulary; one that
// pools has no projection, and its answers are the normalized rows.
type head struct {
	dev    *cpuDevice
	held   holding
	norm   *norm
	out    *linear // nil: it pools
	hidden int
	width  int // of an answer

	screening *screening
	wanted    bool // the call at hand could have used it
	most      int  // candidates that an output of it wants
}

// LoadHead takes the head over in place; a tied one is counted once with the
// embedding.
func (d *cpuDevice) LoadHead(ctx context.Context, g *graph.Head) (device.Head, error) {
	p := &head{dev: d, held: holding{all: &d.weights}, hidden: g.Out.In, width: g.Width()}
	return load(ctx, d, "the head", p, func(p *head) error {
		return gguf.Guard(func() (err error) {
			if p.norm, err = p.held.norm(&g.Norm, p.hidden); err != nil {
				return err
			}
			if g.Pooling != graph.PoolNone {
				return nil
			}
			if p.out, err = p.held.linear(&g.Out); err != nil {
				return err
			}
			p.screening = newScreening(d, d.screenMode, p.out)
			d.screened.last.Store(p.screening)
			return nil
		})
	})
}

// Forward computes the logits of the rows in b.Outputs and nothing for others.
func (p *head) Forward(ctx context.Context, b *device.Batch, x device.Hidden, done device.Worked) (device.Logits, error) {
	h, err := p.dev.adopt(ctx, x)
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
	start, err := p.dev.begin(ctx, p)
	if err != nil {
		return nil, err
	}
	defer p.dev.end(start, done)
	w := &p.dev.work
	l := newLogits(&p.dev.pool, b, p.width)
	w.rows.takeOutputs(b, l.computed)
	w.screen.copy = p.screenable(b, l.computed)
	w.head, w.logits, w.x, w.width = p, l, h.data, h.width
	if err := p.dev.team.do(ctx, w.calls.score); err != nil {
		l.Release()
		return nil, err
	}
	w.rows.fail("head", p.dev.info.Name, w.answerRow)
	for i := range l.answers {
		l.answers[i].err = b.Seqs[b.Rows[b.Outputs[i].Row].Seq].Err
	}
	if p.wanted {
		p.wanted = false
		p.screening.want()
	}
	return l, nil
}

// Close gives the head back.
func (p *head) Close() error { return p.dev.unload(p) }

func (p *head) free() {
	if p.screening != nil {
		p.screening.free()
	}
	p.held.release()
}

// score runs the head's jobs over the selected rows.
func (w *workspace) score(ctx context.Context) error {
	n, p := len(w.rows.at), w.head
	switch {
	case n == 0:
		return nil
	case p.out == nil:
		return w.pool(ctx, n)
	}
	w.feed(w.floats(&w.norm, n*p.hidden), n, p.hidden, anyTernary(p.out))
	if w.screen.copy != nil {
		w.screen.bounds = p.screening.bits.choose(w.screen.copy, n, p.most)
		w.screen.acts.ResetFor(w.screen.copy, n)
		w.screen.able = grow(&w.dev.ledger, w.screen.able, n)
	}
	if err := w.runRows(ctx, &w.jobs.headNorm); err != nil {
		return err
	}
	w.left = w.left[:0]
	if w.screen.copy != nil {
		var err error
		if w.left, err = w.screenAll(ctx, w.left); err != nil {
			return err
		}
		// The full head sees the rows that are left as its only input.
		for j, i := range w.left {
			copy(w.row(w.in.x, j), w.row(w.in.x, int(i)))
		}
		w.in.n = len(w.left)
	} else {
		for i := range n {
			w.left = append(w.left, int32(i))
		}
	}
	if len(w.left) == 0 {
		return nil
	}
	w.dev.screened.full.Add(uint64(len(w.left)))
	w.logits.room(w.left)
	if err := w.multiply(ctx, product{stacked: [3]*linear{p.out}, dst: w.logits.data, stride: p.width}); err != nil {
		return err
	}
	return w.run(ctx, len(w.left), 1, &w.jobs.answer)
}

// pool answers with the normalized rows.
func (w *workspace) pool(ctx context.Context, n int) error {
	w.left = w.left[:0]
	for i := range n {
		w.left = append(w.left, int32(i))
	}
	w.logits.room(w.left)
	w.feed(w.logits.data, n, w.head.hidden, false)
	if err := w.runRows(ctx, &w.jobs.headNorm); err != nil {
		return err
	}
	return w.run(ctx, n, 1, &w.jobs.answer)
}

// headNorm normalizes the rows that are asked for.
func (w *workspace) headNorm(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		w.normalize(i, w.residual(i), w.head.norm)
		if w.screen.copy != nil {
			w.screen.able[i] = w.quantizeScreened(i)
		}
	}
}

// answer checks rows [lo, hi) of the full head and picks the largest logits.
func (w *workspace) answer(worker, lo, hi int) {
	me := &w.workers[worker]
	for j := lo; j < hi; j++ {
		i, x := int(w.left[j]), w.logits.row(j)
		w.rows.check(i, x)
		top := w.top(i)
		if len(top) == 0 || w.rows.bad[i] >= 0 {
			continue
		}
		me.ids, me.vals = quantkern.TopK(x, len(top), me.ids, me.vals)
		for j := range top {
			top[j] = device.Candidate{ID: me.ids[j], Logit: me.vals[j]}
		}
	}
}

// answerRow is the logits of compact row i, which the full head answered.
func (w *workspace) answerRow(i int) []float32 {
	return w.logits.row(slices.Index(w.left, int32(i)))
}
