package stages

import (
	"context"
	"fmt"
	"slices"
)

// scheduler is the goroutine that owns the sequences of a ring: it admits them,
// composes steps, takes steps back, and hands out what they brought.
type scheduler struct {
	p      *pipeline
	ring   *ring
	limits limits
	out    chan<- *step // to the first stage
	back   <-chan *step // from the last
	cache  *kvCache

	live   []*sequence // in order of admission
	parked []*sequence // preempted; they hold no pages
	owed   []owed      // brought by steps; their consumers have yet to get it
	ending []*sequence // let go of; their consumers have yet to hear of it
	flying int         // steps composed and not yet back
	counts counts

	// Memory that is used again: a steady ring allocates nothing.
	spare   []*step
	ready   []*sequence
	granted []grant

	expected []*sequence // are to be in the next step, which the devices know of
}

// owed is an answer on its way from a step to its consumer.
type owed struct {
	seq    *sequence
	answer answer
}

// counts is what a scheduler has done so far.
type counts struct {
	steps, rows           uint64
	tokens, ended         uint64 // drawn; requests
	preempted, recomputed uint64 // sequences; rows that were computed before
}

// run is the goroutine. Should it panic, every request still ends.
func (s *scheduler) run() error {
	err := catch("scheduler", func() error {
		s.loop()
		return nil
	})
	close(s.out)
	if err != nil {
		s.p.fail(err)
	}
	for st := range s.back {
		st.drop()
	}
	if err != nil {
		_ = catch("answers", func() error {
			s.deliver()
			return nil
		})
		waiting := s.p.remove(func(*sequence) bool { return true })
		for _, q := range slices.Concat(s.ending, s.live, s.parked, waiting) {
			// What panicked once may do it again; the others still hear of it.
			_ = catch("end of a request", func() error {
				q.close(FinishError, err)
				return nil
			})
		}
		s.p.poke()
	}
	return err
}

// hurried is up to how many consumers hear of their answers only when the next
// step is on its way, so that a fast device waits less for it. The goroutines of
// more, once awake, would stand in line before that of the first stage.
const hurried = 8

// loop ends when no more requests will come and the last has ended.
func (s *scheduler) loop() {
	var next *step
	for {
		s.reap()
		s.admit()
		if len(s.owed) > hurried {
			s.deliver()
		}
		for next == nil && s.flying < s.limits.waves {
			if next = s.compose(); next == nil {
				break
			}
			s.flying++
			if s.send(next) {
				next = nil
			}
		}
		s.deliver()
		s.bury()
		s.show()
		if s.flying == 0 && len(s.live)+len(s.parked) == 0 && s.p.dry() {
			return
		}
		out := s.out
		if next == nil {
			out = nil
		}
		select {
		case out <- next:
			next = nil
		case st := <-s.back:
			s.flying--
			s.settle(st)
			s.spare = append(s.spare, st.reset())
		case <-s.ring.wake:
		}
	}
}

// send hands a step to the first stage, if that has room for it now.
func (s *scheduler) send(st *step) bool {
	select {
	case s.out <- st:
		return true
	default:
		return false
	}
}

// deliver hands out what steps brought, each answer once even where it panics and is
// called again.
func (s *scheduler) deliver() {
	for i, o := range s.owed {
		if o.seq == nil {
			continue
		}
		s.owed[i] = owed{}
		o.seq.owed--
		o.seq.task.deliver(o.answer)
	}
	s.owed = s.owed[:0]
}

// owe notes an answer that is to be handed out.
func (s *scheduler) owe(q *sequence, a answer) {
	if a.emit && a.token.ID != NoToken {
		s.counts.tokens++
	}
	q.owed++
	s.owed = append(s.owed, owed{q, a})
}

// reap notices requests whose contexts have ended, and lets go of every
// sequence that is over.
func (s *scheduler) reap() {
	aborted := s.p.run.Err() != nil
	gone := func(q *sequence) bool {
		if aborted {
			q.cancel(context.Cause(s.p.run))
		}
		if q.err == nil && q.done == "" && q.ctx.Err() != nil {
			q.lapse()
		}
		return q.over()
	}
	end := func(q *sequence) bool {
		if !gone(q) {
			return false
		}
		s.cache.release(q)
		s.ending = append(s.ending, q)
		return true
	}
	s.live = slices.DeleteFunc(s.live, end)
	s.parked = slices.DeleteFunc(s.parked, end)
	if s.p.gone.Swap(false) || aborted {
		removed := s.p.remove(gone)
		s.ending = append(s.ending, removed...)
		if len(removed) > 0 {
			s.p.poke() // another ring may wait for nobody to wait
		}
	}
	idle := func(q *sequence) bool { return q.leaving && q.underWay == 0 }
	for i := slices.IndexFunc(s.live, idle); i >= 0; i = slices.IndexFunc(s.live, idle) {
		s.preempt(s.live[i])
	}
}

// bury tells the consumers of what has ended, when the counters know of it.
func (s *scheduler) bury() {
	if len(s.ending) == 0 {
		return
	}
	s.counts.ended += uint64(len(s.ending))
	s.show()
	for _, q := range s.ending {
		q.close(q.finish())
	}
	clear(s.ending)
	s.ending = s.ending[:0]
}

// settle takes a step back: what it brought is owed to the consumers, errors end
// their sequences.
func (s *scheduler) settle(st *step) {
	for i := range st.parts {
		p := &st.parts[i]
		q := p.seq
		q.underWay--
		err := st.err
		if err == nil {
			err = st.batch.Seqs[i].Err
		}
		if q.lost = q.lost || err != nil; !q.lost {
			s.cache.settle(q, st.upto(i))
		}
		switch {
		case q.done != "":
		case q.err != nil:
			// Broken off while the step was under way: what it brought was
			// produced all the same.
			if !q.lost && p.lo < p.hi {
				s.owe(q, p.answer)
			}
		case err != nil && s.p.run.Err() != nil:
			q.err = context.Cause(s.p.run)
		case err != nil && q.ctx.Err() != nil:
			q.lapse()
		case err != nil:
			q.err = fmt.Errorf("stages: request %d: %w", q.id, err)
			q.cancel(q.err)
		case p.lo < p.hi:
			s.owe(q, p.answer)
			q.done = p.answer.done
			if p.answer.more {
				q.tokens = append(q.tokens, p.answer.token.ID)
			}
		}
	}
}

// show publishes the gauges.
func (s *scheduler) show() {
	g := &s.ring.gauges
	g.steps.Store(s.counts.steps)
	g.rows.Store(s.counts.rows)
	g.tokens.Store(s.counts.tokens)
	g.ended.Store(s.counts.ended)
	g.live.Store(int64(len(s.live)))
	g.parked.Store(int64(len(s.parked)))
	g.flying.Store(int64(s.flying))
	g.pagesUsed.Store(int64(s.cache.held()))
	g.pagesCached.Store(int64(s.cache.tree.cached))
	g.reused.Store(s.cache.reused)
	g.evicted.Store(s.cache.evicted)
	g.preempted.Store(s.counts.preempted)
	g.recomputed.Store(s.counts.recomputed)
}
