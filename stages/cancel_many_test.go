package stages

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"tritflow/stages/sample"
)

// TestHalfAreCancelled runs 200 requests on the built-in model, every second of
// which is cancelled after a random number of tokens or a random time, some
// before they began: the others say what they say alone, and nothing is left.
func TestHalfAreCancelled(t *testing.T) {
	request := func(i int) Request {
		r := Request{Tokens: make([]int32, 1+i*7%60), MaxTokens: 1 + i*5%24, IgnoreEOS: true, Sampling: sample.Params{TopP: 1, Seed: uint64(i)}}
		for k := range r.Tokens {
			r.Tokens[k] = int32(20 + (i*31+k*17)%1000)
		}
		if i%3 == 0 {
			r.Sampling.Temperature = 1
		}
		if i%5 == 0 {
			r.Logprobs = 2
		}
		return r
	}
	open := func(devices string, seqs int) *Engine {
		e, err := Open(t.Context(), "", Options{Devices: devices, MaxSeqs: seqs, Ctx: 128})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const n = 200
	want := make([][]int32, n)
	alone := open("cpu:2", 1)
	for i := 0; i < n; i += 2 {
		s, err := alone.Submit(t.Context(), request(i))
		if err != nil {
			t.Fatal(err)
		}
		want[i] = s.Result().Tokens
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	for _, devices := range []string{"cpu:2", "cpu:1,cpu:1"} {
		t.Run(devices, func(t *testing.T) {
			e := open(devices, 16)
			var group sync.WaitGroup
			got := make([][]int32, n)
			ends := make([]Finish, n)
			for i := range n {
				group.Go(func() {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					after := -1
					if i%2 == 1 {
						if i%4 == 1 {
							after = rand.IntN(10)
						} else {
							stop := time.AfterFunc(time.Duration(rand.IntN(30_000))*time.Microsecond, func() { cancel(context.Canceled) })
							defer stop.Stop()
						}
					}
					s, err := e.Submit(ctx, request(i))
					if err != nil {
						if i%2 == 0 || !errors.Is(err, context.Canceled) {
							t.Errorf("request %d: %v", i, err)
						}
						return
					}
					for range s.Tokens() {
						if after--; after == 0 {
							cancel(context.Canceled)
						}
					}
					res := s.Result()
					got[i], ends[i] = res.Tokens, res.Finish
				})
			}
			group.Wait()
			cancelled := 0
			for i := range n {
				if ends[i] == FinishCancelled {
					cancelled++
				}
				if i%2 == 0 && (ends[i] != FinishLength || !slices.Equal(got[i], want[i])) {
					t.Errorf("request %d: %q, %v, alone %v", i, ends[i], got[i], want[i])
				}
			}
			if cancelled < n/8 {
				t.Errorf("only %d requests were cancelled, so the test shows little", cancelled)
			}
			eventually(t, "the end of all requests", func() bool {
				st := e.Stats()
				return st.PagesUsed == 0 && st.Live == 0 && st.Waiting == 0
			})
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
