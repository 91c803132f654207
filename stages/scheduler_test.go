package stages

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tritflow/device"
	"tritflow/stages/sample"
)

// record keeps what every step held, as the embed stage saw it. The first
// step waits until all requests were submitted.
type record struct {
	submitted chan struct{}
	mu        sync.Mutex
	steps     []device.Batch
}

func newRecord() *record { return &record{submitted: make(chan struct{})} }

func (r *record) hook(c call) error {
	if c.kind == "embed" {
		<-r.submitted
		r.mu.Lock()
		defer r.mu.Unlock()
		r.steps = append(r.steps, device.Batch{
			Rows: slices.Clone(c.batch.Rows), Seqs: slices.Clone(c.batch.Seqs), Outputs: slices.Clone(c.batch.Outputs),
		})
	}
	return nil
}

func seqIDs(b device.Batch) []uint64 {
	var ids []uint64
	for _, s := range b.Seqs {
		ids = append(ids, s.ID)
	}
	return ids
}

// TestAnswersDoNotDependOnNeighbours runs random mixes of requests, some of
// which break off or are cancelled, over random shapes of the pipeline: every
// answer must be the rule's own.
func TestAnswersDoNotDependOnNeighbours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		devices := rapid.IntRange(1, 3).Draw(t, "devices")
		var hints promises
		r := newRig(t, rigOptions{
			hook: hints.hook, devices: devices, blocks: rapid.IntRange(devices, 4).Draw(t, "blocks"), fuse: rapid.Bool().Draw(t, "fuse"),
			limits: func(l *limits) {
				l.chunk = rapid.IntRange(1, 20).Draw(t, "chunk")
				l.maxSeqs = rapid.IntRange(1, 5).Draw(t, "maxSeqs")
				l.pageSize = rapid.IntRange(1, 9).Draw(t, "pageSize")
				hints.pageSize = l.pageSize
				l.outputs = rapid.IntRange(1, 6).Draw(t, "outputs")
				l.tokens = rapid.IntRange(1, 5).Draw(t, "tokens")
				l.share = rapid.Bool().Draw(t, "share")
				l.ahead = devices == 1 && rapid.Bool().Draw(t, "ahead")
				least := ceilDiv(l.ctx, l.pageSize) // one sequence must fit
				l.pages = rapid.IntRange(least, 3*least).Draw(t, "pages")
			},
		})
		type job struct {
			req     Request
			stop    int  // tokens after which it is broken off; -1 = never
			byCtx   bool // by its context instead of leaving the loop
			got     []int32
			err     error
			results Result
		}
		jobs := make([]job, rapid.IntRange(1, 8).Draw(t, "requests"))
		for i := range jobs {
			j := &jobs[i]
			j.req.Tokens = prompt(rapid.IntRange(0, 9).Draw(t, "seed"), rapid.IntRange(1, 30).Draw(t, "prompt"))
			j.req.MaxTokens = rapid.IntRange(1, 20).Draw(t, "max")
			j.req.Priority = rapid.IntRange(0, 1).Draw(t, "priority")
			if rapid.Bool().Draw(t, "draws") {
				j.req.Sampling = sample.Params{Temperature: 1.5, TopP: 0.9, Presence: 0.5, AnswerOnly: i%2 == 0, Seed: uint64(i)}
			}
			j.stop = rapid.IntRange(-1, 6).Draw(t, "stop")
			j.byCtx = rapid.Bool().Draw(t, "byCtx")
		}
		var wg sync.WaitGroup
		for i := range jobs {
			j := &jobs[i]
			ctx, cancel := context.WithCancel(context.Background())
			s, err := r.submit(ctx, j.req)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer cancel()
				for tok, err := range s.Tokens() {
					if err != nil {
						j.err = err
						break
					}
					j.got = append(j.got, tok.ID)
					if len(j.got) == j.stop {
						if !j.byCtx {
							break
						}
						cancel()
					}
				}
				j.results = s.Result()
			})
		}
		wg.Wait()
		for i, j := range jobs {
			want := r.want(j.req.Tokens, j.req.Sampling, j.req.MaxTokens)
			if len(j.got) > len(want) || !slices.Equal(j.got, want[:len(j.got)]) {
				t.Errorf("request %d: %v, want %v", i, j.got, want)
			}
			cut := j.stop > 0 && j.stop < len(want)
			switch f := j.results.Finish; {
			case !cut && j.stop <= 0 && (f != FinishLength || len(j.got) != len(want) || j.err != nil):
				t.Errorf("request %d ended with %q, %v after %d of %d", i, f, j.err, len(j.got), len(want))
			case cut && f != FinishCancelled && f != FinishLength:
				t.Errorf("request %d was cancelled but ended with %q", i, f)
			}
		}
		r.finish(t)
		for _, broken := range hints.broken {
			t.Error(broken)
		}
	})
}

// TestRequestsJoinAndLeave checks admission in order, the bound on live
// sequences, and that prompts are read beside running answers.
func TestRequestsJoinAndLeave(t *testing.T) {
	rec := newRecord()
	r := newRig(t, rigOptions{hook: rec.hook, limits: func(l *limits) { l.maxSeqs = 2; l.tokens = 64 }})
	lengths := []int{12, 3, 5, 2, 4}
	var streams []*Stream
	for i, n := range lengths {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 10+i), MaxTokens: n}))
	}
	close(rec.submitted)
	for i, s := range streams {
		ids, _, err := read(s)
		if err != nil || !slices.Equal(ids, r.want(prompt(i, 10+i), sample.Params{}, lengths[i])) {
			t.Errorf("request %d: %v, %v", i, ids, err)
		}
	}
	r.finish(t)

	var order []uint64
	mixed := false
	for _, b := range rec.steps {
		if len(b.Seqs) > 2 {
			t.Errorf("a step holds sequences %v", seqIDs(b))
		}
		for _, s := range b.Seqs {
			if !slices.Contains(order, s.ID) {
				order = append(order, s.ID)
			}
		}
		mixed = mixed || len(b.Seqs) == 2 && b.Seqs[0].N == 1 && b.Seqs[1].N > 1
	}
	if diff := cmp.Diff([]uint64{1, 2, 3, 4, 5}, order); diff != "" {
		t.Errorf("order of admission: %s", diff)
	}
	if !mixed {
		t.Error("no step mixed a decode row with a prefill chunk")
	}
}

// TestOneDeviceOneStep: a single device gets one step with everything in it.
func TestOneDeviceOneStep(t *testing.T) {
	rec := newRecord()
	var flying, most int
	r := newRig(t, rigOptions{
		limits: func(l *limits) { l.tokens = 64 },
		hook: func(c call) error {
			switch c.kind { // one stage works at a time, or this races
			case "embed":
				flying++
				most = max(most, flying)
			case "head":
				flying--
			}
			return rec.hook(c)
		},
	})
	var streams []*Stream
	for i := range 4 {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 2), MaxTokens: 20}))
	}
	close(rec.submitted)
	for _, s := range streams {
		if _, _, err := read(s); err != nil {
			t.Error(err)
		}
	}
	r.finish(t)
	if most != 1 {
		t.Errorf("%d steps in flight on one device", most)
	}
	full := 0
	for _, b := range rec.steps {
		if len(b.Seqs) == 4 {
			full++
		}
	}
	if full < 19 {
		t.Errorf("only %d of %d steps held all four sequences", full, len(rec.steps))
	}
}

// TestFairness: with steps of one row everybody gets a turn, a long prompt
// as well as running answers.
func TestFairness(t *testing.T) {
	rec := newRecord()
	r := newRig(t, rigOptions{hook: rec.hook, limits: func(l *limits) { l.chunk = 1; l.tokens = 64 }})
	var streams []*Stream
	for i, n := range []int{2, 2, 40} {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, n), MaxTokens: 20}))
	}
	close(rec.submitted)
	for _, s := range streams {
		if _, _, err := read(s); err != nil {
			t.Error(err)
		}
	}
	r.finish(t)
	last := map[uint64]int{}
	for i, b := range rec.steps {
		if len(b.Rows) != 1 {
			t.Fatalf("a step of %d rows", len(b.Rows))
		}
		id := b.Seqs[0].ID
		if before, ok := last[id]; ok && i-before > 3 {
			t.Errorf("sequence %d waited %d steps for its turn among three", id, i-before)
		}
		last[id] = i
	}
}

// TestWavesKeepDevicesBusy holds the second device until the first has begun
// another step: with one step in flight this would never happen.
func TestWavesKeepDevicesBusy(t *testing.T) {
	for _, c := range []struct {
		name    string
		prompts []int
		max     int
	}{
		{"one prompt overlaps itself", []int{40}, 1},
		{"answers alternate", []int{1, 1}, 12},
		{"four answers in two waves", []int{1, 1, 1, 1}, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := newRecord()
			first := make(chan struct{}) // the first device has worked on two steps
			var once sync.Once
			var steps atomic.Int32
			r := newRig(t, rigOptions{devices: 2, blocks: 2, hook: func(c call) error {
				switch {
				case c.dev == 0 && c.kind == "block" && steps.Add(1) == 2:
					close(first)
				case c.dev == 1 && c.kind == "block":
					once.Do(func() {
						select {
						case <-first:
						case <-time.After(20 * time.Second):
							t.Error("the first device does not work beside the second")
						}
					})
				}
				return rec.hook(c)
			}, limits: func(l *limits) { l.tokens = 64 }})
			var streams []*Stream
			for i, n := range c.prompts {
				streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, n), MaxTokens: c.max}))
			}
			close(rec.submitted)
			for i, s := range streams {
				ids, _, err := read(s)
				if err != nil || !slices.Equal(ids, r.want(prompt(i, c.prompts[i]), sample.Params{}, c.max)) {
					t.Errorf("request %d: %v, %v", i, ids, err)
				}
			}
			r.finish(t)
			for _, b := range rec.steps[min(4, len(rec.steps)):] {
				if half := max(1, (len(c.prompts)+1)/2); len(b.Seqs) > half {
					t.Errorf("a step took sequences %v, more than its share", seqIDs(b))
				}
			}
		})
	}
}

// TestOnlyAsManyStepsAsDevices: while the last device is held, no more steps
// are composed than there are devices.
func TestOnlyAsManyStepsAsDevices(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{})
	var once sync.Once
	r := newRig(t, rigOptions{devices: 2, blocks: 2, hook: func(c call) error {
		if c.dev == 1 {
			once.Do(func() { close(entered) })
			<-release
		}
		return nil
	}})
	var streams []*Stream
	for i := range 4 {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 20), MaxTokens: 3}))
	}
	within(t, "work of the second device", entered)
	eventually(t, "a second step", func() bool { return r.pipe.stats().Steps == 2 })
	r.pipe.poke() // even when asked again
	s := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(9, 1), MaxTokens: 1})
	eventually(t, "the fifth request waits", func() bool { return r.pipe.stats().Waiting == 1 })
	if n := r.pipe.stats().Steps; n != 2 {
		t.Errorf("%d steps are in flight over two devices", n)
	}
	close(release)
	for _, s := range append(streams, s) {
		if _, _, err := read(s); err != nil {
			t.Error(err)
		}
	}
	r.finish(t)
}

// TestPositionsAreContiguous: every sequence's rows go in in order, each once.
func TestPositionsAreContiguous(t *testing.T) {
	rec := newRecord()
	r := newRig(t, rigOptions{devices: 3, hook: rec.hook, limits: func(l *limits) { l.chunk = 5; l.tokens = 64 }})
	var streams []*Stream
	for i := range 6 {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 3+7*i), MaxTokens: 10}))
	}
	close(rec.submitted)
	for _, s := range streams {
		if _, _, err := read(s); err != nil {
			t.Error(err)
		}
	}
	r.finish(t)
	next := map[uint64]int32{}
	for _, b := range rec.steps {
		if len(b.Rows) > 5 {
			t.Errorf("a step of %d rows", len(b.Rows))
		}
		for _, row := range b.Rows {
			id := b.Seqs[row.Seq].ID
			if row.Pos != next[id] {
				t.Fatalf("sequence %d: position %d after %d", id, row.Pos, next[id]-1)
			}
			next[id]++
		}
	}
	for i := range uint64(6) {
		if want := int32(3 + 7*i + 9); next[i+1] != want {
			t.Errorf("sequence %d was fed %d positions, want %d", i+1, next[i+1], want)
		}
	}
}
