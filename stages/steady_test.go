package stages

import (
	"context"
	"testing"
)

// TestSteadyStepsAllocateNothing: once a request is under way, a token costs
// no allocation in scheduler, stages, device or sampler; only its text, which
// the caller may keep, where it has more than the one byte that Go has ready.
// What a request costs as such cancels out.
func TestSteadyStepsAllocateNothing(t *testing.T) {
	const short, long, few = 40, 240, 4
	e := openBuiltin(t, Options{MaxSeqs: 1, Ctx: 256, Devices: "cpu:2"})
	texts := 0 // beyond the short answer
	answer := func(n int) func() {
		return func() {
			texts = 0
			count := 0
			r := Request{Tokens: []int32{5, 6, 7}, MaxTokens: n, IgnoreEOS: true}
			for token, err := range e.Generate(context.Background(), r) {
				if err != nil {
					t.Fatal(err)
				}
				if count++; count > short && len(token.Text) > 1 {
					texts++
				}
			}
			if count != n {
				t.Fatalf("%d tokens, want %d", count, n)
			}
		}
	}
	cost := testing.AllocsPerRun(5, answer(short)) // warms up, too
	answer(long)()
	if more := testing.AllocsPerRun(5, answer(long)) - cost; more > float64(texts+few) {
		t.Errorf("%d more tokens cost %v allocations, %d of them for texts", long-short, more, texts)
	} else if texts > long/2 {
		t.Errorf("%d texts of %d tokens: the test shows little", texts, long)
	} else {
		t.Logf("%d more tokens cost %v allocations, %d of them for texts", long-short, more, texts)
	}
}
