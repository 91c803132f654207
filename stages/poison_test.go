package stages

import (
	"context"
	"errors"
	"slices"
	"testing"

	"tritflow/device"
)

// TestPoisonedNorm: a NaN among a block's norm weights ends every request, and
// the error names the first stage that made one, wherever the blocks sit.
func TestPoisonedNorm(t *testing.T) {
	for _, devices := range []string{"cpu:2", "cpu:1,cpu:1,cpu:1"} {
		for _, source := range []string{tinyLlama, tinyTernary} {
			e, err := New(context.Background(), poisoned(t, source, "blk.1.attn_norm.weight", 3), Options{Devices: devices})
			if err != nil {
				t.Fatal(err)
			}
			var streams []*Stream
			for i := range 2 {
				s, err := e.Submit(context.Background(), Request{Tokens: prompt(i, 4), MaxTokens: 3})
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
			for i, o := range outcomes(streams) {
				var ne *device.NumericError
				if !errors.As(o.err, &ne) || ne.Stage != "blk.1" || ne.Kind != "NaN" || ne.Pos != 0 || o.res.Finish != FinishError || len(o.ids) != 0 {
					t.Errorf("request %d: %q, %v, %v", i, o.res.Finish, o.ids, o.err)
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestPoisonedToken: the row of one token holds a NaN. The request that uses
// the token ends when it comes to it; its neighbours answer as they do alone.
func TestPoisonedToken(t *testing.T) {
	const token, width = 444, 128
	e, err := New(context.Background(), poisoned(t, tinyLlama, "token_embd.weight", token*width+9), Options{Devices: "cpu:1,cpu:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	ask := func(ids []int32) *Stream {
		s, err := e.Submit(context.Background(), Request{Tokens: ids, MaxTokens: 12, IgnoreEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var alone []outcome
	for i := range 3 {
		o := outcomes([]*Stream{ask(prompt(i, 5))})[0]
		if o.err != nil || slices.Contains(o.ids, token) {
			t.Fatalf("request %d is no good neighbour: %v, %v", i, o.ids, o.err)
		}
		alone = append(alone, o)
	}
	bad := []int32{3, 4, token, 5}
	for i, o := range outcomes([]*Stream{ask(prompt(0, 5)), ask(bad), ask(prompt(1, 5)), ask(prompt(2, 5))}) {
		if i == 1 {
			var ne *device.NumericError
			if !errors.As(o.err, &ne) || ne.Stage != "embed" || ne.Pos != 2 || ne.Index != 9 || o.res.Finish != FinishError {
				t.Errorf("the poisoned request: %q, %v", o.res.Finish, o.err)
			}
			continue
		}
		want := alone[max(i-1, 0)]
		if o.err != nil || o.res.Finish != FinishLength || !slices.Equal(o.ids, want.ids) {
			t.Errorf("request %d: %q, %v, %v; alone %v", i, o.res.Finish, o.err, o.ids, want.ids)
		}
	}
}
