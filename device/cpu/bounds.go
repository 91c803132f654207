package cpu

import (
	"context"

	"tritflow/quantkern"
)

const (
	// screenBatch is how many groups of rows a worker bounds before it looks
	// at the bounds: they should not leave the first cache.
	screenBatch = 16
	// screenPiece is how many groups make a piece that may be done again.
	screenPiece = 4 * screenBatch
)

// screenOperands are what bounds are made of.
type screenOperands struct {
	copy   *quantkern.Screen // nil: the full head for all
	bounds quantkern.Bounds
	acts   quantkern.ScreenActs
	n      int // outputs
}

// bound makes the bounds of all rows and has the workers collect those that matter.
func (w *workspace) bound(ctx context.Context) error {
	groups := w.screen.copy.Groups()
	if w.screen.n <= memoryRows && len(w.workers) > 1 {
		return w.run(ctx, groups, screenPiece, &w.jobs.screenAgain)
	}
	return w.runOutputs(ctx, groups, &w.jobs.screen)
}

// upper bounds the logits of groups [lo, hi) of rows for every output.
func (s *screenOperands) upper(dst []float32, lo, hi int) {
	s.copy.Upper(dst, 4*(hi-lo), lo, hi, &s.acts, s.bounds)
}

// offer puts what matters of these bounds into the worker's lists. Few bits leave many rows, so the exact logit of the
// first that promises the most is worth having at once.
func (w *workspace) offer(worker int, s *screenOperands, upper []float32, lo, hi int) {
	stride := 4 * (hi - lo)
	for i := range s.n {
		list := &w.workers[worker].screen.lists[i]
		list.Offer(s.copy, &s.acts, s.bounds, i, 4*lo, upper[i*stride:(i+1)*stride])
		if s.bounds.Bits < quantkern.MostBits && w.screen.able[i] && len(w.top(i)) == 1 {
			if id, fresh := list.Leader(); fresh {
				list.Know(w.exactly(worker, i, id), s.acts.Step(i, s.bounds))
			}
		}
	}
}

// screenGroups bounds groups [lo, hi) of rows.
func (w *workspace) screenGroups(worker, lo, hi int) {
	me, s := &w.workers[worker].screen, &w.screen.screenOperands
	me.upper = resized(me.upper, s.n*4*screenBatch)
	for g := lo; g < hi; g += screenBatch {
		end := min(g+screenBatch, hi)
		s.upper(me.upper, g, end)
		w.offer(worker, s, me.upper, g, end)
	}
}

// takeScreen copies the operands for a worker.
func (w *workspace) takeScreen(worker int) {
	w.workers[worker].screen.own = w.screen.screenOperands
}

// screenOwn bounds groups [lo, hi) of rows in the worker's memory.
func (w *workspace) screenOwn(worker, lo, hi int) {
	me := &w.workers[worker].screen
	me.upper = resized(me.upper, me.own.n*4*(hi-lo))
	me.own.upper(me.upper, lo, hi)
}

// keepScreened collects what matters of them.
func (w *workspace) keepScreened(worker, lo, hi int) {
	me := &w.workers[worker].screen
	w.offer(worker, &me.own, me.upper, lo, hi)
}
