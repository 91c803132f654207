package stages

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"tritflow/device"
	"tritflow/stages/sample"
)

// outcome is what a consumer saw.
type outcome struct {
	ids []int32
	err error
	res Result
}

func outcomes(streams []*Stream) []outcome {
	all := make([]outcome, len(streams))
	done := make(chan struct{})
	for i, s := range streams {
		go func() {
			defer func() { done <- struct{}{} }()
			all[i].ids, _, all[i].err = read(s)
			all[i].res = s.Result()
		}()
	}
	for range streams {
		<-done
	}
	return all
}

// TestErrorOfOneSequence: what a device says of one sequence reaches its
// consumer as it is, and changes nothing for the others.
func TestErrorOfOneSequence(t *testing.T) {
	r := newRig(t, rigOptions{devices: 2, hook: func(c call) error {
		for i, s := range c.batch.Seqs {
			last := c.batch.Rows[s.First+s.N-1].Pos
			if s.ID == 2 && last >= 8 && c.kind == "block" && c.block == 1 {
				c.batch.Fail(int32(i), &device.NumericError{Stage: "blk.1", Sequence: s.ID, Kind: "NaN"})
			}
		}
		return nil
	}})
	var streams []*Stream
	for i := range 3 {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 5), MaxTokens: 12}))
	}
	for i, o := range outcomes(streams) {
		want := r.want(prompt(i, 5), sample.Params{}, 12)
		if i != 1 {
			if o.err != nil || o.res.Finish != FinishLength || !slices.Equal(o.ids, want) {
				t.Errorf("request %d: %q, %v", i, o.res.Finish, o.err)
			}
			continue
		}
		var ne *device.NumericError
		if !errors.As(o.err, &ne) || ne.Kind != "NaN" || o.res.Finish != FinishError {
			t.Errorf("the failed request ended with %q, %v", o.res.Finish, o.err)
		}
		if len(o.ids) != 4 || !slices.Equal(o.ids, want[:4]) {
			t.Errorf("before position 8 it drew %v, want %v", o.ids, want[:4])
		}
	}
	r.finish(t)
}

// TestErrorOfAStep ends the requests of the step; the engine goes on.
func TestErrorOfAStep(t *testing.T) {
	for _, kind := range []string{"embed", "block", "head"} {
		t.Run(kind, func(t *testing.T) {
			var calls atomic.Int32
			r := newRig(t, rigOptions{devices: 2, blocks: 2, hook: func(c call) error {
				if c.kind == kind && calls.Add(1) == 9 {
					return errFake
				}
				return nil
			}})
			var streams []*Stream
			for i := range 2 {
				streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 5), MaxTokens: 30}))
			}
			failed := 0
			for i, o := range outcomes(streams) {
				want := r.want(prompt(i, 5), sample.Params{}, 30)
				if !slices.Equal(o.ids, want[:len(o.ids)]) {
					t.Errorf("request %d drew %v, want %v", i, o.ids, want)
				}
				if o.err == nil {
					continue
				}
				failed++
				var se *StageError
				if !errors.Is(o.err, errFake) || !errors.As(o.err, &se) || o.res.Finish != FinishError {
					t.Errorf("request %d: %q, %v", i, o.res.Finish, o.err)
				}
			}
			if failed == 0 {
				t.Error("no request noticed")
			}
			again := outcomes([]*Stream{r.mustSubmit(t, context.Background(), Request{Tokens: prompt(7, 3), MaxTokens: 5})})[0]
			if again.err != nil || !slices.Equal(again.ids, r.want(prompt(7, 3), sample.Params{}, 5)) {
				t.Errorf("the next request: %v, %v", again.ids, again.err)
			}
			r.finish(t)
		})
	}
}

// TestPanicEndsTheEngine wherever it happens: in a stage's device, in the
// sample stage, in the scheduler. Nobody hangs, nothing is left.
func TestPanicEndsTheEngine(t *testing.T) {
	for _, c := range []struct {
		name  string
		hook  func(call) error
		text  textStream
		where string
	}{
		{"device", func(c call) error {
			if c.kind == "block" && c.batch.Rows[0].Pos >= 7 {
				panic(errFake)
			}
			return nil
		}, fakeText(func(int32) string { return "x" }), "block 0"},
		{"sample stage", nil, panickyText{push: true}, "sample"},
		{"scheduler", func(c call) error {
			if c.batch.Rows[0].Pos >= 7 {
				return errors.New("leads to the flush that panics")
			}
			return nil
		}, panickyText{}, "scheduler"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigOptions{devices: 2, blocks: 2, hook: c.hook, limits: func(l *limits) { l.maxSeqs = 2 }})
			r.stream = func() textStream { return c.text }
			var streams []*Stream
			for i := range 4 {
				s, err := r.submit(context.Background(), Request{Tokens: prompt(i, 5), MaxTokens: 30})
				if err != nil { // it has happened already
					break
				}
				streams = append(streams, s)
			}
			own := 0 // of the request whose own error led to the panic
			for i, o := range outcomes(streams) {
				var pe *PanicError
				switch {
				case errors.As(o.err, &pe) && pe.Where == c.where && len(pe.Stack) > 0 && errors.Is(o.err, errFake):
				case c.name == "scheduler" && o.err != nil:
					own++
				default:
					t.Errorf("request %d: %q, %v", i, o.res.Finish, o.err)
				}
			}
			if own > 2 {
				t.Errorf("%d requests did not hear of the panic", own)
			}
			var pe *PanicError
			if _, err := r.submit(context.Background(), Request{Tokens: prompt(1, 1), MaxTokens: 1}); !errors.As(err, &pe) {
				t.Errorf("a later request: %v", err)
			}
			if err := r.pipe.kill(); !errors.As(err, &pe) {
				t.Errorf("the end: %v", err)
			}
			if err := r.held.Close(); err != nil {
				t.Error(err)
			}
			if r.handles.Load() != 0 && c.name != "device" {
				t.Errorf("%d handles are left", r.handles.Load())
			}
		})
	}
}

// TestPanicOfOneOfMany: where several sequences look at all logits at once, a panic of one
// ends the engine, not the program.
func TestPanicOfOneOfMany(t *testing.T) {
	rec := newRecord()
	r := newRig(t, rigOptions{hook: rec.hook, limits: func(l *limits) { l.tokens = 32 }})
	var pushed atomic.Int32
	r.stream = func() textStream {
		return fakeText(func(int32) string {
			if pushed.Add(1) > 20 { // all are answered in one step by then
				panic(errFake)
			}
			return "x"
		})
	}
	var streams []*Stream
	for i := range 4 {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 2), MaxTokens: 30, Logprobs: 1}))
	}
	close(rec.submitted)
	var pe *PanicError
	for i, o := range outcomes(streams) {
		if !errors.As(o.err, &pe) || pe.Where != sampleStage || !errors.Is(o.err, errFake) {
			t.Errorf("request %d: %q, %v", i, o.res.Finish, o.err)
		}
	}
	if err := r.pipe.kill(); !errors.As(err, &pe) {
		t.Errorf("the end: %v", err)
	}
	r.check(t)
}

// panickyText panics when pushed to, or else when flushed.
type panickyText struct{ push bool }

func (p panickyText) Push(int32) string {
	if p.push {
		panic(errFake)
	}
	return "x"
}

func (p panickyText) Flush() string {
	if !p.push {
		panic(errFake)
	}
	return ""
}
