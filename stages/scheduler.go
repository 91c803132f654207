package stages

import (
	"context"
	"fmt"
	"slices"
)

// scheduler is the goroutine that owns all sequences: it admits them, composes
// steps, takes steps back, and hands out what they brought.
type scheduler struct {
	p      *pipeline
	limits limits
	gauges *gauges
	out    chan<- *step // to the first stage
	back   <-chan *step // from the last
	pages  *pages

	waiting []*sequence // in order of arrival
	live    []*sequence // in order of admission
	flying  int         // steps composed and not yet back
	steps   uint64      // composed so far
	last    bool        // no more requests will come

	// Memory that is used again: a steady pipeline allocates nothing.
	spare  []*step
	ready  []*sequence
	grants []grant
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
		arrived, _ := s.p.take()
		for _, q := range slices.Concat(s.live, s.waiting, arrived) {
			// What panicked once may do it again; the others still hear of it.
			_ = catch("end of a request", func() error {
				q.close(FinishError, err)
				return nil
			})
		}
	}
	return err
}

// loop ends when no more requests will come and the last has ended.
func (s *scheduler) loop() {
	var next *step
	for {
		s.arrive()
		s.reap()
		s.admit()
		if next == nil && s.flying < s.limits.waves {
			if next = s.compose(); next != nil {
				s.flying++
			}
		}
		s.show()
		if s.last && s.flying == 0 && len(s.live)+len(s.waiting) == 0 {
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
		case <-s.p.wake:
		}
	}
}

// arrive puts new requests at the end of the line.
func (s *scheduler) arrive() {
	arrived, last := s.p.take()
	s.waiting = append(s.waiting, arrived...)
	s.last = last
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
			q.err = context.Cause(q.ctx)
		}
		if !q.over() {
			return false
		}
		s.pages.give(q.pages)
		q.close(q.finish())
		return true
	}
	s.live = slices.DeleteFunc(s.live, gone)
	before := len(s.waiting)
	s.waiting = slices.DeleteFunc(s.waiting, gone)
	s.vacate(before - len(s.waiting))
}

// admit gives pages to requests in order, as long as there are any. The pages
// of the whole request are taken at once, so a live sequence never waits for one.
func (s *scheduler) admit() {
	for len(s.waiting) > 0 && len(s.live) < s.limits.maxSeqs {
		q := s.waiting[0]
		if q.pages = s.pages.take(q.limit); q.pages == nil {
			return
		}
		s.live = append(s.live, q)
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		s.vacate(1)
	}
}

// vacate makes room for n more waiting requests.
func (s *scheduler) vacate(n int) {
	for range n {
		<-s.p.room
	}
}

// settle takes a step back: what it brought is handed out, errors end their
// sequences.
func (s *scheduler) settle(st *step) {
	for i := range st.parts {
		p := &st.parts[i]
		q := p.seq
		q.underWay--
		if q.done != "" {
			continue
		}
		err := st.err
		if err == nil {
			err = st.batch.Seqs[i].Err
		}
		switch {
		case q.err != nil:
			// Broken off while the step was under way: what it brought was
			// produced all the same.
			if err == nil && p.lo < p.hi {
				q.task.deliver(p.answer)
			}
		case err != nil && s.p.run.Err() != nil:
			q.err = context.Cause(s.p.run)
		case err != nil && q.ctx.Err() != nil:
			q.err = context.Cause(q.ctx)
		case err != nil:
			q.err = fmt.Errorf("stages: request %d: %w", q.id, err)
			q.cancel(q.err)
		case p.lo < p.hi:
			q.task.deliver(p.answer)
			q.next, q.ready = p.answer.token.ID, p.answer.more
			q.done = p.answer.done
		}
	}
}

// show publishes the gauges.
func (s *scheduler) show() {
	s.gauges.steps.Store(s.steps)
	s.gauges.live.Store(int64(len(s.live)))
	s.gauges.waiting.Store(int64(len(s.waiting)))
	s.gauges.pagesUsed.Store(int64(s.pages.used()))
}
