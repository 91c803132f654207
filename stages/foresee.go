package stages

// foresee tells devices that begin steps early what will follow a step: those of its sequences that
// go on, a token each. It takes the pages that they need, and notes who is expected: compose
// asks for just that step next, because by then it is under way. So a request that comes
// meanwhile waits for one step as it would anyway, and what was begun is not begun again.
//
// It tells nothing where a sequence draws from more than one token, where one that is not in
// the step has something to feed, where a consumer is behind, or where all end.
func (s *scheduler) foresee(st *step) {
	s.expected = s.expected[:0]
	if !s.limits.ahead {
		return
	}
	for i := range st.parts {
		p, outs := &st.parts[i], st.batch.Outputs
		if st.batch.Seqs[i].N != 1 || p.hi != p.lo+1 || outs[p.lo].Full || outs[p.lo].TopK != 1 {
			return
		}
	}
	for _, q := range s.live {
		if q.underWay == 0 && q.pending() > 0 && q.room() {
			return
		}
	}
	for i := range st.parts {
		q := st.parts[i].seq
		if q.fed >= q.limit || q.ctx.Err() != nil {
			continue
		}
		// Who has room for the answer after this one will have it then, too.
		if !q.room() {
			s.expected = s.expected[:0]
			return
		}
		if s.cache.cover(q, 1) == 1 {
			st.batch.Seqs[i].Pages = q.pages
			s.expected = append(s.expected, q)
		}
	}
	st.batch.Next = len(s.expected) > 0
}

// awaited makes the step of those who are expected and go on; nil where there are none.
func (s *scheduler) awaited() *step {
	grants := s.granted[:0]
	for _, q := range s.expected {
		if !q.parked && q.pending() == 1 && q.room() && s.cache.cover(q, 1) == 1 {
			grants = append(grants, grant{q, 1})
		}
	}
	s.expected, s.granted = s.expected[:0], grants
	if len(grants) == 0 {
		return nil
	}
	return s.build(grants)
}
