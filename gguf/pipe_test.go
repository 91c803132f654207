//go:build linux || darwin

package gguf_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tritflow/gguf"
)

// TestOpenPipe: a pipe that nobody writes to is refused, not waited for.
func TestOpenPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	refused := make(chan error, 1)
	go func() {
		_, err := gguf.Open(path, gguf.Options{})
		refused <- err
	}()
	select {
	case err := <-refused:
		if !errors.Is(err, gguf.ErrNotGGUF) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("still waiting for the pipe")
	}
}
