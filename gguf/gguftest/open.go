package gguftest

import (
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/builtin"
)

// Open opens a model file, "" for the one inside the program, until the test ends.
func Open(t testing.TB, path string) *gguf.File {
	t.Helper()
	f, err := builtin.OpenFile(path, gguf.Options{})
	return Held(t, f, err)
}

// Held is a file that was opened, until the test ends.
func Held(t testing.TB, f *gguf.File, err error) *gguf.File {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}
