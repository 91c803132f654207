package cpu

import (
	"context"
	"math"
	"sync/atomic"

	"tritflow/device"
	"tritflow/quantkern"
)

// Screened outputs: bounds of all logits from the low-bit copy, or from a head
// of Q4_0 itself, read once for all outputs; a short list of each; the exact
// logits of these; the largest.
//
//	headNorm (quantizes) → screen → shorten → rescore → choose
//	                                   └─ too many left ─▶ vocabulary → answer
//
// The copy of a few outputs streams through in the time of its bytes, whatever is
// computed on the way, so six of its bits are read (screenBits). With several the
// products take longer than that, so they are bounded with activations of 8 bits. A list
// that this leaves long is gone through again with all bits of both.

const (
	// leftMost is the part of the vocabulary (one in so many) that rescoring
	// may touch before the full head is the better choice, kMost the same for
	// the number of candidates asked for.
	leftMost, kMost = 8, 32
	// refineFrom is the length of a list from coarse bounds from which it is refined:
	// below it the exact products read less.
	refineFrom = 2048
	// rescoreGrain is how many exact products make a piece.
	rescoreGrain = 16
	// rescoreAhead is how many exact products a row is fetched before its own.
	rescoreAhead = 2
)

// screenScratch is memory of one worker.
type screenScratch struct {
	upper []float32             // [outputs, groups of a batch × 4]
	lists []quantkern.Shortlist // per output: rows that this worker left
	own   screenOperands        // of bounds that may be made again
}

func (s *screenScratch) bytes() int {
	n := 4 * cap(s.upper)
	for i := range s.lists[:cap(s.lists)] {
		n += s.lists[:cap(s.lists)][i].Bytes()
	}
	return n
}

// screenState is the workspace's part for screened outputs.
type screenState struct {
	screenOperands
	again atomic.Bool // a list was so long that it was bounded again
	able  []bool      // per compact row: it has bounds
	ids   [][]int32   // per compact row: what is left to rescore
	start []int32     // per compact row: its first place in exact; one more at the end
	exact []float32
	rows  []int32 // output of each place in exact
}

// screenable gives the copy that answers all outputs of a batch, or nil. Where
// any output needs every logit the full head is read anyway, and serves all.
func (p *head) screenable(b *device.Batch, computed []int32) *quantkern.Screen {
	p.most = 0
	for _, o := range computed {
		p.most = max(p.most, b.Outputs[o].TopK)
		if out := b.Outputs[o]; out.Full || out.TopK < 1 || out.TopK > max(1, p.width/kMost) {
			return nil
		}
	}
	if len(computed) == 0 || p.screening == nil {
		return nil
	}
	copy := p.screening.ready.Load()
	if copy == nil {
		p.wanted = true
	}
	return copy
}

// screenAll answers as many of the selected rows as it can and returns the
// others.
func (w *workspace) screenAll(ctx context.Context, left []int32) ([]int32, error) {
	n, s := len(w.rows.at), &w.screen
	s.again.Store(false)
	s.n = n
	for i := range w.workers {
		me := &w.workers[i].screen
		for len(me.lists) < n {
			me.lists = append(me.lists, quantkern.Shortlist{})
		}
		for j := range n {
			me.lists[j].Reset(len(w.top(j)))
		}
	}
	if err := w.bound(ctx); err != nil {
		return nil, err
	}
	s.ids = grow(&w.dev.ledger, s.ids, n)
	if err := w.runRows(ctx, &w.jobs.shorten); err != nil {
		return nil, err
	}
	s.start, s.rows = append(s.start[:0], 0), s.rows[:0]
	for i, ids := range s.ids {
		if ids == nil {
			left = append(left, int32(i))
		} else {
			w.rows.bad[i] = -1 // the bounds would not be finite otherwise
		}
		for range ids {
			s.rows = append(s.rows, int32(i))
		}
		s.start = append(s.start, int32(len(s.rows)))
	}
	w.floats(&s.exact, len(s.rows))
	if err := w.run(ctx, len(s.rows), rescoreGrain, &w.jobs.rescore); err != nil {
		return nil, err
	}
	c := &w.dev.screened
	c.screened.Add(uint64(n - len(left)))
	c.rescored.Add(uint64(len(s.rows)))
	c.fallback.Add(uint64(len(left)))
	c.spared.Add(uint64(n-len(left)) * uint64(w.head.screening.read-int64(s.copy.Reads(s.bounds))))
	w.head.screening.bits.learn(s, len(s.rows), len(left) > 0 || s.again.Load())
	return left, w.runRows(ctx, &w.jobs.choose)
}

// top is where the candidates of compact row i go.
func (w *workspace) top(i int) []device.Candidate {
	return w.logits.answers[w.logits.computed[i]].top
}

// quantizeScreened rounds compact row i for the bounds; false: it has none.
func (w *workspace) quantizeScreened(i int) bool {
	if s := &w.screen; s.bounds.Coarse {
		return s.acts.QuantizeCoarse(i, w.row(w.in.x, i))
	}
	return w.screen.acts.Quantize(i, w.row(w.in.x, i))
}

// shorten brings together what the workers left for outputs [lo, hi).
func (w *workspace) shorten(worker, lo, hi int) {
	s := &w.screen
	for i := lo; i < hi; i++ {
		s.ids[i] = nil
		if !s.able[i] {
			continue
		}
		list := &w.workers[0].screen.lists[i]
		for j := 1; j < len(w.workers); j++ {
			list.Merge(&w.workers[j].screen.lists[i])
		}
		// The exact products of the most promising rows rule out more than their
		// lower bounds do.
		least := w.leastOf(worker, i, list)
		list.Know(least, s.acts.Step(i, s.bounds))
		if list.Len() > s.refineFrom(w.head.width) && (!s.bounds.Coarse || s.acts.Quantize(i, w.row(w.in.x, i))) {
			s.again.Store(true)
			list.Refine(s.copy, &s.acts, i)
			list.Know(least, s.acts.Step(i, quantkern.Bounds{Bits: quantkern.MostBits}))
		}
		if ids := list.Rows(); len(ids) <= max(len(w.top(i)), w.head.width/leftMost) {
			s.ids[i] = ids
		}
	}
}

// refineFrom is the length of a list from which bounds of all bits are worth having.
func (s *screenState) refineFrom(width int) int {
	switch {
	case s.bounds.Coarse:
		return refineFrom
	case s.bounds.Bits < quantkern.MostBits:
		return width / leftMost
	}
	return width // they are what there is
}

// leastOf is the smallest of the exact logits of the rows of a list that
// promise the most, as many as output i asks for.
func (w *workspace) leastOf(worker, i int, list *quantkern.Shortlist) float32 {
	me := &w.workers[worker]
	me.ids = list.Best(me.ids[:0])
	least := float32(math.Inf(1))
	for _, id := range me.ids {
		w.fetch(id)
	}
	for _, id := range me.ids {
		least = min(least, w.exactly(worker, i, id))
	}
	return least
}

// exactly is logit id of compact row i.
func (w *workspace) exactly(worker, i int, id int32) float32 {
	m := w.head.out.matrix
	return quantkern.DotRow(m.codec, m.data, m.rows, m.cols, int(id), w.row(w.in.x, i), &w.workers[worker].kernels)
}

// fetch asks for what exactly will read of logit id.
func (w *workspace) fetch(id int32) {
	m := w.head.out.matrix
	quantkern.FetchRow(m.codec, m.data, m.cols, int(id))
}

// rescore computes exact logits [lo, hi) of all those that are left.
func (w *workspace) rescore(worker, lo, hi int) {
	s := &w.screen
	for j := lo; j < hi; j++ {
		if next := j + rescoreAhead; next < len(s.rows) {
			i := int(s.rows[next])
			w.fetch(s.ids[i][next-int(s.start[i])])
		}
		i := int(s.rows[j])
		s.exact[j] = w.exactly(worker, i, s.ids[i][j-int(s.start[i])])
	}
}

// choose picks the largest of the exact logits of outputs [lo, hi). The ids
// ascend, so that the lowest wins among equals as it does in a whole row.
func (w *workspace) choose(worker, lo, hi int) {
	s, me := &w.screen, &w.workers[worker]
	for i := lo; i < hi; i++ {
		ids, top := s.ids[i], w.top(i)
		if ids == nil {
			continue
		}
		me.ids, me.vals = quantkern.TopK(s.exact[s.start[i]:s.start[i+1]], len(top), me.ids, me.vals)
		for j := range top {
			top[j] = device.Candidate{ID: ids[me.ids[j]], Logit: me.vals[j]}
		}
	}
}
