package cpu

import (
	"context"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// head is the loaded final norm and projection onto the vocabulary.
type head struct {
	dev    *cpuDevice
	held   holding
	norm   *norm
	out    *linear
	hidden int
	vocab  int
}

// LoadHead takes the head over in place; a tied one is counted once with the
// embedding.
func (d *cpuDevice) LoadHead(ctx context.Context, g *graph.Head) (device.Head, error) {
	p := &head{dev: d, held: holding{all: &d.weights}, hidden: g.Out.In, vocab: g.Vocab}
	return load(ctx, d, "the head", p, func(p *head) error {
		return gguf.Guard(func() (err error) {
			if p.norm, err = p.held.norm(&g.Norm, p.hidden); err != nil {
				return err
			}
			p.out, err = p.held.linear(&g.Out)
			return err
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
	l := newLogits(&p.dev.pool, b, p.vocab)
	w.rows.takeOutputs(b, l.computed)
	w.head, w.logits, w.x, w.width = p, l, h.data, h.width
	if err := p.dev.lead.do(ctx, w.calls.score); err != nil {
		l.Release()
		return nil, err
	}
	w.rows.fail("head", p.dev.info.Name, w.answerRow)
	for i := range l.answers {
		l.answers[i].err = b.Seqs[b.Rows[b.Outputs[i].Row].Seq].Err
	}
	return l, nil
}

// Close gives the head back.
func (p *head) Close() error { return p.dev.unload(p) }

func (p *head) free() { p.held.release() }

// score runs the head's jobs over the selected rows.
func (w *workspace) score(ctx context.Context) error {
	n, p := len(w.rows.at), w.head
	if n == 0 {
		return nil
	}
	w.feed(w.floats(&w.norm, n*p.hidden), n, p.hidden, anyTernary(p.out))
	if err := w.runRows(ctx, w.jobs.headNorm); err != nil {
		return err
	}
	if err := w.runOutputs(ctx, p.vocab, w.jobs.vocabulary); err != nil {
		return err
	}
	return w.runRows(ctx, w.jobs.answer)
}

// headNorm normalizes the rows that are asked for.
func (w *workspace) headNorm(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		w.normalize(i, w.residual(i), w.head.norm)
	}
}

// vocabulary computes logits [lo, hi) of every row.
func (w *workspace) vocabulary(worker, lo, hi int) {
	w.head.out.mul(w.logits.data, w.head.vocab, lo, hi, &w.in, &w.workers[worker].kernels)
}

// answer checks rows [lo, hi) and picks the largest logits.
func (w *workspace) answer(worker, lo, hi int) {
	me := &w.workers[worker]
	for i := lo; i < hi; i++ {
		x := w.answerRow(i)
		w.rows.check(i, x)
		top := w.logits.answers[w.logits.computed[i]].top
		if len(top) == 0 || w.rows.bad[i] >= 0 {
			continue
		}
		me.ids, me.vals = quantkern.TopK(x, len(top), me.ids, me.vals)
		for j := range top {
			top[j] = device.Candidate{ID: me.ids[j], Logit: me.vals[j]}
		}
	}
}

// answerRow is the logits of compact row i.
func (w *workspace) answerRow(i int) []float32 {
	vocab := w.head.vocab
	return w.logits.data[i*vocab : (i+1)*vocab]
}
