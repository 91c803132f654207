package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// readInput reads standard input to its end, or until ctx ends.
func (a *app) readInput(ctx context.Context, what string) (string, error) {
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.log.Info().Msg("reading " + what + " from standard input; Ctrl-D ends it")
	}
	data, err := await(ctx, func() ([]byte, error) { return io.ReadAll(a.in) })
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("reading standard input: %w", err)
	}
	return string(data), err
}

// readFile reads a file, which may be a pipe that keeps it waiting, until ctx ends.
func readFile(ctx context.Context, path string) (string, error) {
	data, err := await(ctx, func() ([]byte, error) { return os.ReadFile(path) })
	if err != nil && ctx.Err() == nil {
		err = &usageError{err}
	}
	return string(data), err
}

// await waits for what may wait for somebody else, or until ctx ends. Reading and
// opening a pipe cannot be called back, so the goroutine that does it may outlive
// the call; the process is about to end then.
func await[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	go func() {
		value, err := do()
		got <- result{value, err}
	}()
	select {
	case r := <-got:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// sameFile tells whether two paths lead to one file that is there.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// trimNewline drops the one line end that echo and editors put at the end of a
// text; it is not part of a prompt.
func trimNewline(s string) string {
	s = strings.TrimSuffix(s, "\n")
	return strings.TrimSuffix(s, "\r")
}
