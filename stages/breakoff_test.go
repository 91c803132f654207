package stages

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

// TestLoopLeftByPanic: who leaves the loop over an answer, or over logits, by a panic or by the
// end of its goroutine has broken off as well, and others get its place.
func TestLoopLeftByPanic(t *testing.T) {
	e := openBuiltin(t, Options{Devices: "cpu:1", MaxSeqs: 1})
	answer := func(leave func()) {
		for range e.Generate(context.Background(), Request{Tokens: prompt(1, 4), MaxTokens: 400, IgnoreEOS: true}) {
			leave()
		}
	}
	logits := func(leave func()) {
		for range e.Logits(context.Background(), prompt(1, 400), true) {
			leave()
		}
	}
	for _, loop := range []func(func()){answer, logits} {
		for _, leave := range []func(){func() { panic("mine") }, runtime.Goexit} {
			left := make(chan struct{})
			go func() {
				defer close(left)
				defer func() { _ = recover() }()
				loop(leave)
			}()
			within(t, "the end of the loop", left)
			s, err := e.Submit(context.Background(), Request{Tokens: prompt(2, 4), MaxTokens: 2, Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Err(); err != nil {
				t.Fatalf("the next request: %v", err)
			}
		}
	}
}

// TestFinishOfTheCallersContext: whatever its cause, the end of the caller's context is a
// cancellation, or a timeout, and the cause is the error.
func TestFinishOfTheCallersContext(t *testing.T) {
	e := openBuiltin(t, Options{Devices: "cpu:1"})
	mine := errors.New("mine")
	cancelled, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	late, stop := context.WithTimeoutCause(context.Background(), time.Millisecond, mine)
	defer stop()
	for _, c := range []struct {
		ctx  context.Context
		want Finish
	}{{cancelled, FinishCancelled}, {late, FinishTimeout}} {
		s, err := e.Submit(c.ctx, Request{Tokens: prompt(1, 4), MaxTokens: 400, IgnoreEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		cancel(mine)
		if got := s.Result().Finish; got != c.want || !errors.Is(s.Err(), mine) {
			t.Errorf("finish %s, error %v; want %s", got, s.Err(), c.want)
		}
	}
}
