package stages

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"tritflow/stages/sample"
)

// TestSharedPrefixIsComputedOnce: 16 requests with a common beginning of 60
// tokens, all at once: its whole pages are computed by one of them, and the
// answers are those that each gets alone.
func TestSharedPrefixIsComputedOnce(t *testing.T) {
	for _, devices := range []int{1, 3} {
		for _, share := range []bool{true, false} {
			const n, common, own, answer = 16, 60, 5, 6
			rec := newRecord()
			r := newRig(t, rigOptions{devices: devices, hook: rec.hook, limits: func(l *limits) {
				l.ctx, l.maxSeqs, l.tokens, l.share = 80, n, 64, share
			}})
			ask := func(i int) Request {
				return Request{Tokens: slices.Concat(prompt(1, common), prompt(100+i, own)), MaxTokens: answer}
			}
			var streams []*Stream
			for i := range n {
				streams = append(streams, r.mustSubmit(t, context.Background(), ask(i)))
			}
			close(rec.submitted)
			for i, o := range outcomes(streams) {
				if want := r.want(ask(i).Tokens, sample.Params{}, answer); o.err != nil || !slices.Equal(o.ids, want) {
					t.Errorf("request %d: %v, %v; want %v", i, o.ids, o.err, want)
				}
			}
			st := r.pipe.stats()
			if st.Rows+st.Reused != n*(common+own+answer-1) {
				t.Errorf("%d rows and %d reused of %d", st.Rows, st.Reused, n*(common+own+answer-1))
			}
			if least := uint64((n - 1) * common); share && st.Reused < least || !share && st.Reused != 0 {
				t.Errorf("devices %d: %d positions were reused, the prefix makes %d", devices, st.Reused, least)
			}
			// Later: the same request again computes what is after its last whole page.
			again := outcomes([]*Stream{r.mustSubmit(t, context.Background(), ask(3))})[0]
			if share && again.res.CachedTokens != (common+own-1)/4*4 {
				t.Errorf("the same request again reused %d of %d", again.res.CachedTokens, common+own)
			}
			if want := r.want(ask(3).Tokens, sample.Params{}, answer); !slices.Equal(again.ids, want) {
				t.Errorf("the same request again: %v, want %v", again.ids, want)
			}
			r.finish(t)
		}
	}
}

// TestOwnerOfAPrefixEnds: the request that computes a prefix for others is
// cancelled on the way; another one goes on with it.
func TestOwnerOfAPrefixEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var once sync.Once
	r := newRig(t, rigOptions{hook: func(c call) error {
		if c.kind == "block" && c.batch.Rows[0].Pos > 16 {
			once.Do(cancel)
		}
		return nil
	}, limits: func(l *limits) { l.share, l.tokens = true, 64 }})
	streams := []*Stream{r.mustSubmit(t, ctx, Request{Tokens: prompt(1, 50), MaxTokens: 4})}
	for range 3 {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(1, 50), MaxTokens: 4}))
	}
	for i, o := range outcomes(streams) {
		if i == 0 {
			continue
		}
		if want := r.want(prompt(1, 50), sample.Params{}, 4); o.err != nil || !slices.Equal(o.ids, want) {
			t.Errorf("request %d: %v, %v; want %v", i, o.ids, o.err, want)
		}
	}
	r.finish(t)
}

// TestHalfIsCancelled: 200 requests with common beginnings over few pages, half
// of them cancelled at random moments. The others' answers are their own.
func TestHalfIsCancelled(t *testing.T) {
	r := newRig(t, rigOptions{devices: 2, limits: func(l *limits) {
		l.share, l.queue, l.pages, l.maxSeqs = true, 256, 24, 8
	}})
	rnd := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for i := range 200 {
		tokens, cut := slices.Concat(prompt(i%5, rnd.IntN(30)), prompt(i, 1+rnd.IntN(5))), rnd.IntN(20)
		ctx, cancel := context.WithCancel(context.Background())
		s := r.mustSubmit(t, ctx, Request{Tokens: tokens, MaxTokens: 20})
		wg.Go(func() {
			defer cancel()
			var got []int32
			for tok, err := range s.Tokens() {
				if err != nil {
					break
				}
				if got = append(got, tok.ID); i%2 == 1 && len(got) > cut {
					cancel()
				}
			}
			want := r.want(tokens, sample.Params{}, 20)
			if i%2 == 0 && len(got) != len(want) || !slices.Equal(got, want[:len(got)]) {
				t.Errorf("request %d: %v, want %v", i, got, want)
			}
		})
	}
	wg.Wait()
	r.finish(t)
}

// TestFirstTokenIsBounded: a short request that comes while long prompts are
// read has its first token within the bound that compose states.
func TestFirstTokenIsBounded(t *testing.T) {
	for _, k := range []int{1, 3} {
		const long, short, budget = 2000, 12, 8
		for _, devices := range []int{1, 2} {
			rec := newRecord()
			r := newRig(t, rigOptions{devices: devices, hook: rec.hook, limits: func(l *limits) {
				l.ctx, l.tokens, l.chunk, l.maxSeqs = 2048, 64, budget, 4
			}})
			var streams []*Stream
			for i := range k {
				streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, long), MaxTokens: 1}))
			}
			streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(9, short), MaxTokens: 1}))
			close(rec.submitted)
			for i, o := range outcomes(streams) {
				if o.err != nil {
					t.Errorf("request %d: %v", i, o.err)
				}
			}
			r.finish(t)
			// Admitted at once, it may have to wait for the steps under way.
			bound := devices + ceilDiv(short*(k+1), budget-(k+1))*devices
			for i, b := range rec.steps {
				at := slices.Index(seqIDs(b), uint64(k+1))
				if at < 0 {
					continue
				}
				if last := b.Rows[b.Seqs[at].First+b.Seqs[at].N-1].Pos; last == short-1 && i+1 > bound {
					t.Errorf("beside %d long prompts on %d devices the first token came with step %d, the bound is %d", k, devices, i+1, bound)
				}
			}
		}
	}
}
