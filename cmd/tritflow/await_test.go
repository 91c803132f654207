//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestInterruptWhilePipesAreAwaited: one Ctrl-C is enough wherever a command waits for
// the other end of a pipe, or for a line of it.
func TestInterruptWhilePipesAreAwaited(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skipf("no pipe can be made here: %v", err)
	}
	in, done := filepath.Join(dir, "in.txt"), filepath.Join(dir, "done.jsonl")
	write(t, in, "One day\n")
	if out, err := exec.Command("tritflow", "batch", "-i", in, "-o", done, "-n", "1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out := filepath.Join(dir, "out.jsonl")
	for _, args := range [][]string{
		{"run", "-f", fifo},
		{"perplexity", "-f", fifo},
		{"score", "-f", fifo},
		{"crossval", "--reference", "tritflow", "-f", fifo},
		{"batch", "-i", fifo, "--format", "jsonl", "-o", out},
		{"batch", "--format", "csv", "-o", out},
		{"batch", "--format", "text", "-o", done, "-n", "1"},
	} {
		code := make(chan int, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(20*time.Millisecond, func() { cancel(&signalError{os.Interrupt}) })
		go func() {
			a := newApp()
			never, w := io.Pipe()
			defer w.Close()
			a.in, a.err = never, io.Discard
			err := newRoot(a, args).ExecuteContext(ctx)
			n, _ := exitCode(err)
			code <- n
		}()
		select {
		case n := <-code:
			if n != 130 {
				t.Errorf("%v: exit code %d, want 130", args, n)
			}
		case <-time.After(slowest):
			t.Errorf("%v: the interrupt has no effect", args)
		}
	}
}
