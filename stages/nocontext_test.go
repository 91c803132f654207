package stages

import (
	"context"
	"errors"
	"testing"

	"tritflow/gguf/gguftest"
)

// TestNoContext: a nil context is an error everywhere, which leaves an engine as it is and
// nothing behind.
func TestNoContext(t *testing.T) {
	var none context.Context
	want := func(where string, err error) {
		t.Helper()
		if !errors.Is(err, ErrNoContext) {
			t.Errorf("%s: %v", where, err)
		}
	}
	_, err := Open(none, "", Options{Devices: "cpu:1"})
	want("Open", err)
	_, _, err = Plan(none, gguftest.Open(t, ""), Options{Devices: "cpu:1"}, 1, 0)
	want("Plan", err)
	e := openBuiltin(t, Options{Devices: "cpu:1"})
	want("Shutdown", e.Shutdown(none))
	_, err = e.Submit(none, Request{Prompt: "a", MaxTokens: 1})
	want("Submit", err)
	for _, err := range e.Logits(none, []int32{1}, false) {
		want("Logits", err)
	}
	pools, err := Open(t.Context(), "../graph/testdata/tiny-qwen3-embedding.gguf", Options{Devices: "cpu:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = pools.Embed(none, Request{Prompt: "a"})
	want("Embed", err)
	if err := pools.Close(); err != nil {
		t.Error(err)
	}
	s, err := e.Submit(t.Context(), Request{Prompt: "a", MaxTokens: 1})
	if err != nil || s.Err() != nil {
		t.Errorf("a request after all that: %v", err)
	}
}
