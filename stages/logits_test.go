package stages

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// TestLogitsAreBounded: however long the prompt, a step asks for few full
// rows, and a consumer is only so far behind.
func TestLogitsAreBounded(t *testing.T) {
	rec := newRecord()
	close(rec.submitted)
	r := newRig(t, rigOptions{devices: 2, blocks: 2, hook: rec.hook, limits: func(l *limits) { l.outputs, l.chunk = 3, 20 }})
	ids := prompt(4, 50)
	for _, step := range []bool{false, true} {
		rows := 0
		for row, err := range r.logits(context.Background(), ids, step) {
			if err != nil {
				t.Fatal(err)
			}
			if want := fakeLogits(r.state(ids[:rows+1])); !slices.Equal(row, want) {
				t.Fatalf("row %d differs", rows)
			}
			rows++
		}
		if rows != len(ids) {
			t.Errorf("%d rows of %d", rows, len(ids))
		}
	}
	r.finish(t)
	single := 0
	for _, b := range rec.steps {
		if len(b.Outputs) > 3 {
			t.Errorf("a step asks for %d rows", len(b.Outputs))
		}
		if len(b.Rows) == 1 {
			single++
		}
	}
	if single < len(ids) {
		t.Errorf("%d steps of one token for %d tokens", single, len(ids))
	}
}

func TestLogitsBrokenOff(t *testing.T) {
	r := newRig(t, rigOptions{limits: func(l *limits) { l.outputs = 2 }})
	for range r.logits(context.Background(), prompt(1, 40), false) {
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	rows := 0
	var last error
	for _, err := range r.logits(ctx, prompt(1, 40), false) {
		if rows++; rows == 3 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) || rows > 40 {
		t.Errorf("%d rows, then %v", rows, last)
	}
	r.finish(t)
	for _, err := range r.logits(context.Background(), prompt(1, 4), false) {
		if !errors.Is(err, ErrShutdown) {
			t.Errorf("after the end: %v", err)
		}
	}
}
