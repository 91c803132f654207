package stages

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"tritflow/stages/sample"
)

// gate is a hook that holds the last device until it is opened.
type gate struct {
	entered chan struct{}
	opened  chan struct{}
	once    sync.Once
}

func newGate() *gate { return &gate{entered: make(chan struct{}), opened: make(chan struct{})} }

func (g *gate) hook(c call) error {
	if c.kind == "head" {
		g.once.Do(func() { close(g.entered) })
		<-g.opened
	}
	return nil
}

func (g *gate) open() { close(g.opened) }

// TestEndsWhileUnderWay: a request that is cancelled, or out of time, while a
// step carries it gives its pages back when the step returns.
func TestEndsWhileUnderWay(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration
		ctx     func() (context.Context, context.CancelFunc)
		want    Finish
		err     error
	}{
		{"cancelled", 0, func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
			FinishCancelled, context.Canceled},
		{"timeout", time.Millisecond, func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
			FinishTimeout, context.DeadlineExceeded},
		{"deadline", 0, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Millisecond)
		}, FinishTimeout, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGate()
			r := newRig(t, rigOptions{hook: g.hook})
			ctx, cancel := c.ctx()
			defer cancel()
			s := r.mustSubmit(t, ctx, Request{Tokens: prompt(1, 3), MaxTokens: 9, Timeout: c.timeout})
			streams := []*Stream{s}
			if c.want == FinishCancelled {
				within(t, "work", g.entered)
				cancel()
				// Who comes later is admitted when the scheduler has seen that the first is over.
				streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(2, 3), MaxTokens: 2}))
				eventually(t, "the next request is admitted, and the first keeps its pages", func() bool {
					st := r.pipe.stats()
					return st.Live == 2 && st.PagesUsed == 1
				})
			}
			<-s.g.seq.ctx.Done()
			g.open()
			all := outcomes(streams)
			o := all[0]
			if o.res.Finish != c.want || !errors.Is(o.err, c.err) || len(o.ids) != 0 {
				t.Errorf("%q, %v, %v", o.res.Finish, o.err, o.ids)
			}
			for _, o := range all[1:] {
				if o.err != nil || !slices.Equal(o.ids, r.want(prompt(2, 3), sample.Params{}, 2)) {
					t.Errorf("the next request: %v, %v", o.ids, o.err)
				}
			}
			r.finish(t)
		})
	}
}

// TestCancelledWhileWaiting ends without ever being admitted.
func TestCancelledWhileWaiting(t *testing.T) {
	g := newGate()
	r := newRig(t, rigOptions{hook: g.hook, limits: func(l *limits) { l.maxSeqs = 1 }})
	first := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(1, 3), MaxTokens: 4})
	within(t, "work", g.entered)
	ctx, cancel := context.WithCancel(context.Background())
	second := r.mustSubmit(t, ctx, Request{Tokens: prompt(2, 3), MaxTokens: 4})
	third := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(3, 3), MaxTokens: 4})
	cancel()
	if res := second.Result(); res.Finish != FinishCancelled || res.PromptTokens != 3 {
		t.Errorf("%+v", res)
	}
	g.open()
	for i, o := range outcomes([]*Stream{first, third}) {
		if o.err != nil || len(o.ids) != 4 {
			t.Errorf("request %d: %v, %v", i, o.ids, o.err)
		}
	}
	r.finish(t)
}

// TestCancelledBeforeItWaits: a request whose context has ended, as a scheduler noticed before
// the request stood in the queue, ends without a place.
func TestCancelledBeforeItWaits(t *testing.T) {
	g := newGate()
	r := newRig(t, rigOptions{hook: g.hook, limits: func(l *limits) { l.maxSeqs = 1 }})
	first := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(1, 3), MaxTokens: 4})
	within(t, "work", g.entered)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	told := make(chan struct{})
	q := newSequence(ctx, bounds{}, func() { r.pipe.ended(); close(told) })
	p := &probe{vocab: fakeVocab, left: 3, out: newOutlet[[]float32](slabs, r.pipe.poke)}
	q.begin(p, prompt(2, 3), 3)
	within(t, "the end of the context", told)
	eventually(t, "a scheduler's look at the queue", func() bool { return !r.pipe.gone.Load() })
	if err := r.pipe.submit(q, true); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.out.drain()
	}()
	within(t, "the end of the request", ended)
	if !errors.Is(p.out.err, context.Canceled) {
		t.Error(p.out.err)
	}
	g.open()
	outcomes([]*Stream{first})
	r.finish(t)
}

// TestSlowConsumer: who does not read is not scheduled, and holds up nobody.
func TestSlowConsumer(t *testing.T) {
	r := newRig(t, rigOptions{})
	slow := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(1, 3), MaxTokens: 30})
	for i := range 3 {
		o := outcomes([]*Stream{r.mustSubmit(t, context.Background(), Request{Tokens: prompt(5+i, 3), MaxTokens: 40})})[0]
		if o.err != nil || !slices.Equal(o.ids, r.want(prompt(5+i, 3), sample.Params{}, 40)) {
			t.Errorf("another request: %v, %v", o.ids, o.err)
		}
	}
	if n, room := len(slow.g.out.ch), r.pipe.limits.tokens; n != room {
		t.Errorf("%d tokens wait for the slow consumer, want %d", n, room)
	}
	o := outcomes([]*Stream{slow})[0]
	if o.err != nil || !slices.Equal(o.ids, r.want(prompt(1, 3), sample.Params{}, 30)) {
		t.Errorf("the slow consumer: %v, %v", o.ids, o.err)
	}
	r.finish(t)
}

// TestResultAlone: Result reads the tokens when nobody else does.
func TestResultAlone(t *testing.T) {
	r := newRig(t, rigOptions{})
	s := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(1, 3), MaxTokens: 30})
	res := s.Result()
	if res.Finish != FinishLength || !slices.Equal(res.Tokens, r.want(prompt(1, 3), sample.Params{}, 30)) || s.Err() != nil {
		t.Errorf("%+v", res)
	}
	if res.FirstToken <= 0 || res.Prefill <= 0 || res.Prefill > res.FirstToken || res.Decode <= 0 {
		t.Errorf("times: %+v", res)
	}
	r.finish(t)
}

// TestQueueIsBounded: beyond the queue a request waits outside, or is refused.
func TestQueueIsBounded(t *testing.T) {
	g := newGate()
	r := newRig(t, rigOptions{hook: g.hook, limits: func(l *limits) { l.maxSeqs, l.queue = 1, 2 }})
	req := func(i int) Request { return Request{Tokens: prompt(i, 2), MaxTokens: 2} }
	streams := []*Stream{r.mustSubmit(t, context.Background(), req(0))}
	within(t, "work", g.entered)
	for i := range 2 {
		streams = append(streams, r.mustSubmit(t, context.Background(), req(1+i)))
	}
	noWait := req(3)
	noWait.NoWait = true
	if _, err := r.submit(context.Background(), noWait); !errors.Is(err, ErrBusy) {
		t.Errorf("without waiting: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.submit(ctx, req(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while waiting outside: %v", err)
	}
	last := make(chan outcome)
	go func() {
		s, err := r.submit(context.Background(), req(3))
		if err != nil {
			last <- outcome{err: err}
			return
		}
		last <- outcomes([]*Stream{s})[0]
	}()
	g.open()
	for i, o := range append(outcomes(streams), <-last) {
		if o.err != nil || !slices.Equal(o.ids, r.want(prompt(i, 2), sample.Params{}, 2)) {
			t.Errorf("request %d: %v, %v", i, o.ids, o.err)
		}
	}
	r.finish(t)
}
