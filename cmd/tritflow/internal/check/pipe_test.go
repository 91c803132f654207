//go:build unix

package check

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tritflow/gguf"
)

// TestPipe: nobody writes into it, so that opening it would wait for ever.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe.gguf")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	done := make(chan *Report, 1)
	go func() {
		r, err := Path(t.Context(), path, gguf.Options{}, Options{})
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	select {
	case r := <-done:
		if r != nil && r.OK {
			t.Errorf("%+v", r)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a writer")
	}
}
