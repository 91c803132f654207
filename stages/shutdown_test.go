package stages

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"tritflow/stages/sample"
)

func TestShutdownLetsRequestsFinish(t *testing.T) {
	g := newGate()
	r := newRig(t, rigOptions{devices: 2, hook: g.hook, limits: func(l *limits) { l.maxSeqs = 2; l.tokens = 32 }})
	var streams []*Stream
	for i := range 4 { // two of them wait
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 6), MaxTokens: 15}))
	}
	within(t, "work", g.entered)
	ended := make(chan error, 1)
	go func() { ended <- r.pipe.shutdown(context.Background()) }()
	<-r.pipe.closing.Done()
	if _, err := r.submit(context.Background(), Request{Tokens: prompt(1, 1), MaxTokens: 1}); !errors.Is(err, ErrShutdown) {
		t.Errorf("a request after Shutdown: %v", err)
	}
	g.open()
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for i, o := range outcomes(streams) { // read after everything has ended
		if o.err != nil || !slices.Equal(o.ids, r.want(prompt(i, 6), sample.Params{}, 15)) {
			t.Errorf("request %d: %v, %v", i, o.ids, o.err)
		}
	}
	r.check(t)
}

// TestShutdownAborts: when its context ends, Shutdown waits no longer for a
// request that nobody reads; Close does not wait at all.
func TestShutdownAborts(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *rig) error
		want error
	}{
		{"shutdown", func(r *rig) error {
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- r.pipe.shutdown(ctx) }()
			<-r.pipe.closing.Done()
			cancel()
			return <-ended
		}, context.Canceled},
		{"close", func(r *rig) error { return r.pipe.kill() }, nil},
		{"both at once, twice", func(r *rig) error {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { _ = r.pipe.shutdown(context.Background()) })
				wg.Go(func() { _ = r.pipe.kill() })
			}
			wg.Wait()
			return r.pipe.kill()
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, rigOptions{devices: 2, limits: func(l *limits) { l.maxSeqs, l.queue = 2, 1 }})
			var streams []*Stream
			for i := range 3 { // never read, so the third never gets a place
				streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 6), MaxTokens: 15}))
			}
			outside := make(chan error, 1)
			go func() {
				_, err := r.submit(context.Background(), Request{Tokens: prompt(9, 6), MaxTokens: 15})
				outside <- err
			}()
			eventually(t, "two full outlets", func() bool {
				return len(streams[0].g.out.ch) == r.pipe.limits.tokens && len(streams[1].g.out.ch) == r.pipe.limits.tokens
			})
			if err := c.end(r); !errors.Is(err, c.want) {
				t.Errorf("ended with %v, want %v", err, c.want)
			}
			if err := <-outside; !errors.Is(err, ErrShutdown) {
				t.Errorf("the request outside the queue: %v", err)
			}
			for i, o := range outcomes(streams) {
				if !errors.Is(o.err, ErrShutdown) || o.res.Finish != FinishError {
					t.Errorf("request %d: %q, %v", i, o.res.Finish, o.err)
				}
				want := 0
				if i < 2 {
					want = r.pipe.limits.tokens // what was produced is not lost
				}
				if len(o.ids) != want {
					t.Errorf("request %d: %d tokens, want %d", i, len(o.ids), want)
				}
			}
			r.check(t)
		})
	}
}
