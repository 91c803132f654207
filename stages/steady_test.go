package stages

import (
	"context"
	"runtime"
	"testing"
)

// TestSteadyStepsAllocateNothing: once a request is under way, a step costs no
// allocation in scheduler, prefix cache, stages, device, sampler or text. What a request
// costs as such cancels out, and what is made once: the text of a token that was never said.
func TestSteadyStepsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates itself")
	}
	const short, long = 40, 240
	e := openBuiltin(t, Options{MaxSeqs: 1, Ctx: 256, Devices: "cpu:2"})
	answer := func(n int) func() {
		return func() {
			count := 0
			r := Request{Tokens: []int32{5, 6, 7}, MaxTokens: n, IgnoreEOS: true}
			for _, err := range e.Generate(context.Background(), r) {
				if err != nil {
					t.Fatal(err)
				}
				count++
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
	if more := int(least(answer(long))) - int(cost); more > 0 {
		t.Errorf("%d more tokens cost %d allocations", long-short, more)
	}
}
