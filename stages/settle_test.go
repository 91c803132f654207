package stages

import (
	"context"
	"testing"

	"tritflow/device"
	"tritflow/stages/sample"
)

// bareScheduler has one sequence that reads a prompt of n tokens for an answer, and no stages.
func bareScheduler(n int) (*scheduler, *sequence) {
	lim := limits{pageSize: 4, pages: 8, maxSeqs: 1, chunk: 4, waves: 2, outputs: 1, share: true}
	s := &scheduler{p: &pipeline{limits: lim, run: context.Background()}, limits: lim, cache: newKVCache(lim.pages, lim.pageSize, true)}
	q := newSequence(context.Background(), bounds{}, func() {})
	q.begin(&generation{
		seq: q, sampler: sample.New(sample.Params{}), logprobs: -1, ends: func(int32) bool { return false },
		text: fakeText(func(int32) string { return "x" }), stop: stopMatcher{stops: []string{"xy"}},
		out: newOutlet[Token](4, func() {}), ended: make(chan struct{}),
	}, prompt(1, n), n+8)
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

// oneLogit is a head's answer that leaves no choice.
type oneLogit struct{}

func (oneLogit) Row(int) (device.Scores, error) {
	return device.Scores{Top: []device.Candidate{{ID: 3}}}, nil
}
func (oneLogit) Release() {}

// TestNothingBehindAFailedStep: where a step fails whose successors are through already, what
// these made of pages without its rows is neither handed out nor found by a later request.
func TestNothingBehindAFailedStep(t *testing.T) {
	s, q := bareScheduler(8)
	first, second := s.compose(), s.compose()
	if first.upto(0) != 4 || second.upto(0) != 8 || q.underWay != 2 {
		t.Fatalf("steps up to %d and %d", first.upto(0), second.upto(0))
	}
	first.err = errFake
	second.logits = oneLogit{}
	second.consume(0)
	s.settle(first)
	s.settle(second)
	if len(s.owed) != 0 || s.counts.tokens != 0 {
		t.Errorf("%d tokens are owed, %d counted", len(s.owed), s.counts.tokens)
	}
	q.close(q.finish())
	if text, more := <-q.task.(*generation).out.ch; more {
		t.Errorf("text of a token that was not handed out: %+v", text)
	}
	s.cache.release(q)
	if s.cache.tree.cached != 0 || s.cache.held() != 0 {
		t.Errorf("%d pages are cached, %d held", s.cache.tree.cached, s.cache.held())
	}
}
