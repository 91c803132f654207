package graph

import (
	"slices"
	"testing"
)

func TestArchitectures(t *testing.T) {
	want := []string{"bitnet", "bitnet-1.58", "bitnet-25", "bitnet-b1.58", "gemma3", "llama", "qwen3"}
	if got := Architectures(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRegisterTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second llama was accepted")
		}
	}()
	register(&architecture{names: []string{"llama"}})
}
