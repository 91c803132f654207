package stages

import (
	"cmp"
	"slices"
)

// leastRows is the smallest piece that a prompt is cut into only to keep
// several devices at work.
const leastRows = 16

// grant is how many rows of a sequence a step takes.
type grant struct {
	seq  *sequence
	rows int
}

// compose makes the next step out of what could be fed now, or nil.
//
// Everybody gets one row first, those who waited longest before the others, so
// nobody starves however small a step is. What remains of the row budget goes
// to prompts, in order of admission. With several waves in flight a step takes
// only its share of the sequences, so that the other waves have some too, and
// prompts are cut so that consecutive chunks of one can keep several devices busy.
func (s *scheduler) compose() *step {
	ready, active, pending := s.schedulable()
	if len(ready) == 0 {
		return nil
	}
	share := ceilDiv(active, s.limits.waves)
	free := s.limits.waves - s.flying
	budget := min(s.limits.chunk, max(ceilDiv(pending, free), leastRows, share))
	outputs := s.limits.outputs

	slices.SortFunc(ready, func(a, b *sequence) int {
		return cmp.Or(cmp.Compare(a.served, b.served), cmp.Compare(a.id, b.id))
	})
	grants := s.grants[:0]
	for _, q := range ready {
		if budget == 0 || len(grants) == share {
			break
		}
		if n := q.outputsOf(1); n <= outputs {
			grants = append(grants, grant{q, 1})
			budget--
			outputs -= n
		}
	}
	s.grants = grants
	slices.SortFunc(grants, func(a, b grant) int { return cmp.Compare(a.seq.id, b.seq.id) })
	for i := range grants {
		g := &grants[i]
		extra := min(budget, g.seq.bound()-g.rows)
		for extra > 0 && g.seq.outputsOf(g.rows+extra)-g.seq.outputsOf(g.rows) > outputs {
			extra--
		}
		outputs -= g.seq.outputsOf(g.rows+extra) - g.seq.outputsOf(g.rows)
		g.rows += extra
		budget -= extra
	}
	return s.build(grants)
}

// schedulable lists the live sequences that could be fed now, how many are
// active (these, and those whose rows are under way), and how many rows there
// are to feed.
func (s *scheduler) schedulable() (ready []*sequence, active, pending int) {
	ready = s.ready[:0]
	for _, q := range s.live {
		n := q.pending()
		if n > 0 && q.task.room(q.underWay) {
			ready = append(ready, q)
			pending += n
			active++
		} else if q.underWay > 0 {
			active++
		}
	}
	s.ready = ready
	return ready, active, pending
}

// build makes the step and moves the sequences on.
func (s *scheduler) build(grants []grant) *step {
	s.steps++
	st := s.blank()
	st.id = s.steps
	for _, g := range grants {
		q := g.seq
		q.began()
		st.add(q, g.rows)
		q.fed += g.rows
		q.ready = false
		q.served = st.id
		q.underWay++
	}
	return st
}

// blank gives a step that came back, or a new one.
func (s *scheduler) blank() *step {
	last := len(s.spare) - 1
	if last < 0 {
		return &step{}
	}
	st := s.spare[last]
	s.spare = s.spare[:last]
	return st
}

// bound is how many rows the sequence could put into one step.
func (q *sequence) bound() int {
	if q.maxRows > 0 {
		return min(q.pending(), q.maxRows)
	}
	return q.pending()
}

// outputsOf counts the full rows of logits that the next n rows would ask for.
func (q *sequence) outputsOf(n int) int {
	switch {
	case !q.task.output(0).Full:
		return 0
	case q.task.every():
		return n
	case q.fed+n >= len(q.prompt):
		return 1
	default:
		return 0
	}
}
