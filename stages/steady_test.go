package stages

import (
	"context"
	"runtime"
	"testing"
)

// TestSteadyStepsAllocateNothing: once a request is under way, a step costs no
// allocation in scheduler, stages, device or sampler. What tokens bring is
// allocated: their text, which the consumer may keep, where it has more than
// the one byte that Go has ready; and a node of the prefix cache for each page
// that they fill. What a request costs as such cancels out.
func TestSteadyStepsAllocateNothing(t *testing.T) {
	const short, long, few = 40, 240, 24 // pages that fill come into the prefix cache
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
	// The least of some, because what else the runtime does is counted, too.
	least := func(run func()) (allocs uint64) {
		run() // warms up
		for range 5 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			run()
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; allocs == 0 || n < allocs {
				allocs = n
			}
		}
		return allocs
	}
	cost := least(answer(short))
	more := int(least(answer(long))) - int(cost)
	if texts > long/2 {
		t.Errorf("%d texts of %d tokens: the test shows little", texts, long)
	}
	if more > texts+few {
		t.Errorf("%d more tokens cost %d allocations, %d of them for texts", long-short, more, texts)
	}
	t.Logf("%d more tokens cost %d allocations, %d of them for texts", long-short, more, texts)
}
