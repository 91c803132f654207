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

// portion is what is left to give of a step.
type portion struct {
	rows    int
	answers int // sequences that do not read a prompt
	outputs int // full rows of logits
}

// compose makes the next step out of what could be fed now, or nil.
//
// Everybody gets one row first, those who waited longest before the others, so
// nobody starves however small a step is. What remains of the row budget goes
// to prompts, in equal shares to those of the highest priority; what a short
// prompt leaves of its share goes to the others. So a request that is admitted
// while k others read their prompts, all of one priority, reads at least
// 1/(k+1) of the spare rows of each step that is composed for it, however long
// the other prompts are: with budget rows a step and l sequences alive, its n
// tokens are read in at most ⌈n·(k+1)/(budget−l)⌉ of its steps, and between
// two of its steps there are at most as many others as there are waves.
//
// With several waves in flight a step takes only its share of the sequences that
// answer, so that the other waves have some too; prompts are cut, and every
// step takes pieces of all of them, so that the waves weigh the same.
//
// A step that a device was told of (see foresee) comes before any other.
func (s *scheduler) compose() *step {
	if st := s.awaited(); st != nil {
		return st
	}
	for {
		ready, answering, pending := s.schedulable()
		if len(ready) > 0 {
			if grants := s.grants(ready, answering, pending); len(grants) > 0 {
				return s.build(grants)
			}
		}
		// Whoever could work lacks a page, or waits for a prefix of one who
		// does. While steps are under way, their sequences will have to make
		// room; otherwise the one that matters least goes at once. The last
		// one left can have every page.
		if pending == 0 || s.flying > 0 || len(s.live) < 2 {
			return nil
		}
		s.preempt(s.least(func(*sequence) bool { return true }))
	}
}

func (s *scheduler) grants(ready []*sequence, answering, pending int) []grant {
	share := ceilDiv(answering, s.limits.waves)
	free := s.limits.waves - s.flying
	left := portion{
		rows:    min(s.limits.chunk, max(ceilDiv(pending, free), leastRows, share)),
		answers: share,
		outputs: s.limits.outputs,
	}
	slices.SortFunc(ready, func(a, b *sequence) int {
		return cmp.Or(cmp.Compare(a.served, b.served), cmp.Compare(a.id, b.id))
	})
	grants := s.granted[:0]
	granted := func(q *sequence) bool {
		return slices.ContainsFunc(grants, func(g grant) bool { return g.seq == q })
	}
	for _, q := range ready {
		if left.rows == 0 {
			break
		}
		n, reads := q.outputsOf(1), q.reads()
		if n > left.outputs || !reads && left.answers == 0 || q.pending() == 0 || q.parked { // preempted for another by now
			continue
		}
		if s.cache.reuse(q) { // one before it in this step begins the page that it needs
			continue
		}
		if s.cache.cover(q, 1) == 0 && (!s.makeRoom(q, granted) || s.cache.cover(q, 1) == 0) {
			continue
		}
		grants = append(grants, grant{q, 1})
		if !reads {
			left.answers--
		}
		left.rows--
		left.outputs -= n
	}
	s.granted = grants
	s.spread(grants, left)
	slices.SortFunc(grants, func(a, b grant) int { return cmp.Compare(a.seq.id, b.seq.id) })
	return grants
}

// spread gives the rest of a step to those who have more rows to feed.
func (s *scheduler) spread(grants []grant, left portion) {
	want := func(g grant) int { return g.seq.bound() - g.rows }
	slices.SortFunc(grants, func(a, b grant) int {
		return cmp.Or(cmp.Compare(b.seq.priority, a.seq.priority), cmp.Compare(want(a), want(b)), cmp.Compare(a.seq.id, b.seq.id))
	})
	for i := range grants {
		g := &grants[i]
		if want(*g) == 0 || left.rows == 0 {
			continue
		}
		equals := 1
		for _, other := range grants[i+1:] {
			if other.seq.priority == g.seq.priority {
				equals++
			}
		}
		extra := min(ceilDiv(left.rows, equals), want(*g))
		for extra > 0 && g.seq.outputsOf(g.rows+extra)-g.seq.outputsOf(g.rows) > left.outputs {
			extra--
		}
		extra = s.cache.cover(g.seq, g.rows+extra) - g.rows
		left.outputs -= g.seq.outputsOf(g.rows+extra) - g.seq.outputsOf(g.rows)
		left.rows -= extra
		g.rows += extra
	}
}

// schedulable lists the live sequences that could be fed now, how many are
// answering (these, and those whose rows are under way, without those that have
// more of a prompt to feed), and how many rows there are to feed, those
// included that wait for a prefix.
func (s *scheduler) schedulable() (ready []*sequence, answering, pending int) {
	ready = s.ready[:0]
	for _, q := range s.live {
		able := q.pending() > 0 && q.room()
		if able {
			if busy := s.cache.reuse(q); !busy {
				ready = append(ready, q)
			}
			pending += q.pending()
		}
		if !q.reads() && (able || q.underWay > 0) {
			answering++
		}
	}
	s.ready = ready
	return ready, answering, pending
}

// reads says whether the sequence has several rows to feed.
func (q *sequence) reads() bool { return q.pending() > 1 }

// build makes the step and moves the sequences on.
func (s *scheduler) build(grants []grant) *step {
	s.counts.steps++
	st := s.blank()
	st.id = s.counts.steps
	for _, g := range grants {
		q := g.seq
		q.began()
		st.add(q, g.rows)
		s.counts.rows += uint64(g.rows)
		s.counts.recomputed += uint64(max(0, min(q.fed+g.rows, q.most)-q.fed))
		q.fed += g.rows
		q.most = max(q.most, q.fed)
		q.asked = max(q.asked, q.fed)
		q.served = st.id
		q.underWay++
	}
	s.foresee(st)
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
		return max(0, q.fed+n-max(q.fed, q.asked))
	case q.fed+n >= len(q.tokens):
		return 1
	default:
		return 0
	}
}
