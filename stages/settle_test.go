package stages

import (
	"context"
	"testing"
)

// bareScheduler has one sequence that reads a prompt of n tokens for an answer, and no stages.
func bareScheduler(n int) (*scheduler, *sequence) {
	lim := limits{pageSize: 4, pages: 8, maxSeqs: 1, chunk: 4, waves: 2, outputs: 1, share: true}
	s := &scheduler{p: &pipeline{limits: lim, run: context.Background()}, limits: lim, cache: newKVCache(lim.pages, lim.pageSize, true)}
	q := newSequence(context.Background(), bounds{}, func() {})
	q.begin(&generation{logprobs: -1, out: newOutlet[Token](4, func() {})}, prompt(1, n), n+8)
	s.goes(q)
	return s, q
}

// TestTokensOfABrokenOffRequest: a token that was under way when its request was cancelled
// is handed out, and counts like the others.
func TestTokensOfABrokenOffRequest(t *testing.T) {
	s, q := bareScheduler(4)
	defer q.release()
	st := s.compose()
	st.parts[0].answer = answer{token: Token{ID: 3}, emit: true, more: true}
	q.err = context.Canceled // seen by reap
	s.settle(st)
	if len(s.owed) != 1 || s.counts.tokens != 1 {
		t.Errorf("%d tokens are owed, %d counted", len(s.owed), s.counts.tokens)
	}
}
