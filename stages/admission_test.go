package stages

import (
	"context"
	"testing"
)

// TestPagesLimitAdmission: with too few pages requests wait in order, although
// there are places, and a small one does not overtake a large one.
func TestPagesLimitAdmission(t *testing.T) {
	rec := newRecord()
	r := newRig(t, rigOptions{hook: rec.hook, limits: func(l *limits) {
		l.ctx, l.pages, l.pageSize, l.maxSeqs, l.tokens = 40, 10, 4, 8, 64
	}})
	// Pages: 7 (of 10), 5 (does not fit beside it), 1 (would, but comes later).
	sizes := []struct{ prompt, max int }{{20, 9}, {10, 11}, {2, 3}}
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
