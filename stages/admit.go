package stages

import "slices"

// mostRoom bounds the positions for which a sequence gets room at once; beyond, its lists grow.
const mostRoom = 8192

// goes makes a sequence a live one, with room for what it may become, so that its steps
// allocate nothing.
func (s *scheduler) goes(q *sequence) {
	n := min(q.limit, mostRoom)
	q.tokens = slices.Grow(q.tokens, max(0, n-len(q.tokens)))
	q.pages = slices.Grow(q.pages, max(0, s.cache.need(n)-len(q.pages)))
	if s.cache.shares(q) {
		q.path = slices.Grow(q.path, max(0, s.cache.need(n)-len(q.path)))
	}
	s.live = append(s.live, q)
}

// admit gives requests a place while there are places and pages. Those that
// were preempted stand in line with those that wait; nobody overtakes the one
// whose turn it is because it needs less. Of several rings the one that has the
// fewest sequences takes the next.
func (s *scheduler) admit() {
	for {
		admitted := false
		take := func(q *sequence) bool {
			admitted = s.fits(q) || s.yield(q)
			return admitted
		}
		parked := -1
		for i, q := range s.parked {
			// Who is not read would do nothing with a place. Reading wakes the scheduler.
			if (parked < 0 || q.before(s.parked[parked])) && q.task.drained(q.owed) {
				parked = i
			}
		}
		s.p.next(func(q *sequence) bool {
			if parked >= 0 && s.parked[parked].before(q) {
				return false
			}
			parked = -1
			if idler := s.idler(); idler != nil {
				idler.poke() // it may be asleep
				return false
			}
			if take(q) {
				s.goes(q)
				s.ring.gauges.live.Store(int64(len(s.live)))
				for _, p := range s.parked {
					if p.id < q.id {
						p.overtook++
					}
				}
			}
			return admitted
		})
		if parked >= 0 {
			// Making room for it parks others at the end of the list.
			if q := s.parked[parked]; take(q) {
				s.goes(q)
				s.parked = slices.Delete(s.parked, parked, parked+1)
				q.parked = false
			}
		}
		if !admitted {
			return
		}
		if s.p.dry() {
			s.p.poke() // another ring may wait for nobody to wait
		}
	}
}

// idler is a ring that has fewer sequences than this one, or nil.
func (s *scheduler) idler() *ring {
	mine := int64(len(s.live) + len(s.parked))
	for _, r := range s.p.rings {
		if r != s.ring && r.gauges.live.Load()+r.gauges.parked.Load() < mine {
			return r
		}
	}
	return nil
}

// fits says whether there is a place for a sequence and pages for the tokens
// that it has, besides those that live sequences have yet to take and one more
// for each. One alone always fits.
func (s *scheduler) fits(q *sequence) bool {
	if len(s.live) == 0 {
		return true
	}
	if len(s.live) >= s.limits.maxSeqs {
		return false
	}
	spare := s.cache.available() - len(s.live)
	for _, l := range s.live {
		spare -= s.cache.promised(l)
	}
	return spare >= s.cache.missing(q)
}

// yield preempts sequences of lower priority until q fits. Where one is under
// way, it is preempted when its steps have come back, and q waits. Where all wait
// for their consumers to read, q does not wait for their pages.
func (s *scheduler) yield(q *sequence) bool {
	for !s.fits(q) {
		victim := s.least(func(l *sequence) bool { return l.priority < q.priority && !l.patient() })
		if victim == nil && len(s.live) < s.limits.maxSeqs && !slices.ContainsFunc(s.live, func(l *sequence) bool { return !l.stalled() }) {
			victim = s.least((*sequence).stalled)
		}
		if victim == nil {
			return false
		}
		if victim.underWay > 0 {
			victim.leaving = true
			return false
		}
		s.preempt(victim)
	}
	return true
}

// least is the live sequence that matters least of those that may go.
func (s *scheduler) least(may func(*sequence) bool) *sequence {
	var least *sequence
	for _, l := range s.live {
		if may(l) && (least == nil || least.before(l)) {
			least = l
		}
	}
	return least
}

// preempt takes the pages of a sequence of which nothing is under way. What it
// drew is kept; its rows are computed again when it is admitted again, as far
// as the prefix cache has not kept them.
func (s *scheduler) preempt(q *sequence) {
	s.cache.release(q)
	q.leaving, q.parked = false, true
	s.live = slices.DeleteFunc(s.live, func(l *sequence) bool { return l == q })
	s.parked = append(s.parked, q)
	s.counts.preempted++
}

// makeRoom finds a page for q by preempting sequences: those first that do
// nothing because their consumers do not read, then those that matter less
// than q. busy says which must stay. False: q has to wait.
func (s *scheduler) makeRoom(q *sequence, busy func(*sequence) bool) bool {
	for s.cache.available() == 0 {
		victim := s.least(func(l *sequence) bool {
			return l != q && len(l.pages) > 0 && !busy(l) && l.stalled()
		})
		if victim == nil {
			victim = s.least(func(l *sequence) bool {
				return l != q && q.before(l) && len(l.pages) > 0 && !busy(l)
			})
		}
		if victim == nil {
			return false
		}
		if victim.underWay > 0 {
			victim.leaving = true
			return false
		}
		s.preempt(victim)
	}
	return true
}
