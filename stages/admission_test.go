package stages

import (
	"context"
	"slices"
	"testing"
	"time"

	"tritflow/stages/sample"
)

// TestPagesLimitAdmission: with too few pages requests wait in order, although
// there are places, and a small one does not overtake a large one.
func TestPagesLimitAdmission(t *testing.T) {
	rec := newRecord()
	r := newRig(t, rigOptions{hook: rec.hook, limits: func(l *limits) {
		l.ctx, l.pages, l.pageSize, l.maxSeqs, l.tokens = 40, 10, 4, 8, 64
	}})
	// Pages of the prompts: 8 (of 10), 5 (not there beside it), 1 (would be, but comes later).
	sizes := []struct{ prompt, max int }{{29, 3}, {17, 11}, {2, 3}}
	var streams []*Stream
	for i, s := range sizes {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, s.prompt), MaxTokens: s.max}))
	}
	close(rec.submitted)
	for i, o := range outcomes(streams) {
		if o.err != nil || len(o.ids) != sizes[i].max {
			t.Errorf("request %d: %v, %v", i, o.ids, o.err)
		}
	}
	r.finish(t)
	together := false
	for _, b := range rec.steps {
		ids := seqIDs(b)
		if ids[0] == 1 && len(ids) > 1 {
			t.Errorf("sequences %v are in a step, but pages are there for the first alone", ids)
		}
		together = together || len(ids) == 2
	}
	if !together {
		t.Error("the second and the third request never ran together")
	}
}

// TestPreemptedSequencesGoOn: more answers than there are pages for. Each
// request gets all its tokens and the right ones; some were preempted, and what
// they had was computed again.
func TestPreemptedSequencesGoOn(t *testing.T) {
	for _, share := range []bool{false, true} {
		for _, devices := range []int{1, 2} {
			rec := newRecord()
			r := newRig(t, rigOptions{devices: devices, hook: rec.hook, limits: func(l *limits) {
				l.ctx, l.pages, l.pageSize, l.maxSeqs, l.tokens, l.share = 40, 12, 4, 6, 64, share
			}})
			var streams []*Stream
			for i := range 6 {
				streams = append(streams, r.mustSubmit(t, context.Background(), Request{
					Tokens: prompt(i, 3), MaxTokens: 30, Sampling: sample.Params{Temperature: 1, TopP: 1, Seed: uint64(i)},
				}))
			}
			close(rec.submitted)
			for i, o := range outcomes(streams) {
				if want := r.want(prompt(i, 3), streams[i].g.params, 30); o.err != nil || !slices.Equal(o.ids, want) {
					t.Errorf("request %d: %v, %v; want %v", i, o.ids, o.err, want)
				}
			}
			st := r.pipe.stats()
			if st.Preemptions == 0 || !share && st.Recomputed == 0 || st.Rows-st.Recomputed+st.Reused < 6*(3+29) {
				t.Errorf("devices %d, shared %v: %+v", devices, share, st)
			}
			r.finish(t)
		}
	}
}

// TestPriorities: a request of higher priority takes the place of one of a
// lower, which goes on afterwards; an earlier deadline goes before a later one;
// and nobody is overtaken for ever.
func TestPriorities(t *testing.T) {
	rec := newRecord()
	r := newRig(t, rigOptions{hook: rec.hook, limits: func(l *limits) { l.maxSeqs, l.tokens, l.queue = 1, 64, 500 }})
	var streams []*Stream
	add := func(priority int) {
		streams = append(streams, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(len(streams), 5), MaxTokens: 4, Priority: priority}))
	}
	add(0)
	eventually(t, "the first is admitted", func() bool { return r.pipe.stats().Live == 1 })
	add(0)
	for range 2 * mostOvertaken {
		add(1)
	}
	close(rec.submitted)
	for i, o := range outcomes(streams) {
		if want := r.want(prompt(i, 5), sample.Params{}, 4); o.err != nil || !slices.Equal(o.ids, want) {
			t.Errorf("request %d: %v, %v; want %v", i, o.ids, o.err, want)
		}
	}
	r.finish(t)
	var order []uint64 // in which the first row of each went in
	for _, b := range rec.steps {
		for _, id := range seqIDs(b) {
			if !slices.Contains(order, id) {
				order = append(order, id)
			}
		}
	}
	if order[0] != 1 || order[1] < 3 {
		t.Errorf("order of first rows: %v", order[:4])
	}
	if at := slices.Index(order, 2); at < mostOvertaken/2 || at > mostOvertaken+2 {
		t.Errorf("the second request was overtaken by %d others: %v", at-1, order)
	}
	if st := r.pipe.stats(); st.Preemptions == 0 {
		t.Errorf("%+v", st)
	}
}

// TestStalledReaderGivesUpItsPages: a request for which there are not pages enough beside one
// that nobody reads does not wait for that, nor does the next one, and the first goes on when
// it is read.
func TestStalledReaderGivesUpItsPages(t *testing.T) {
	r := newRig(t, rigOptions{limits: func(l *limits) { l.pages, l.share = 16, true }})
	var unread []*Stream
	for i := range 2 { // the second has the pages that the first gave up
		unread = append(unread, r.mustSubmit(t, context.Background(), Request{Tokens: prompt(i, 36), MaxTokens: 20}))
		eventually(t, "the reader is behind", func() bool { return len(unread[i].g.out.ch) == r.pipe.limits.tokens })
	}
	for i := range 3 {
		ended := make(chan outcome)
		s := r.mustSubmit(t, context.Background(), Request{Tokens: prompt(5+i, 30), MaxTokens: 9})
		go func() { ended <- outcomes([]*Stream{s})[0] }()
		select {
		case o := <-ended:
			if o.err != nil || !slices.Equal(o.ids, r.want(prompt(5+i, 30), sample.Params{}, 9)) {
				t.Errorf("another request: %v, %v", o.ids, o.err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("another request waits for a reader")
		}
	}
	for i, o := range outcomes(unread) {
		if o.err != nil || !slices.Equal(o.ids, r.want(prompt(i, 36), sample.Params{}, 20)) {
			t.Errorf("unread request %d: %v, %v", i, o.ids, o.err)
		}
	}
	r.finish(t)
}
