package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// readInput reads standard input to its end, or until ctx ends. The read itself
// cannot be called back, so the goroutine that does it may outlive the call; the
// process is about to end then.
func (a *app) readInput(ctx context.Context, what string) (string, error) {
	if f, ok := a.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.log.Info().Msg("reading " + what + " from standard input; Ctrl-D ends it")
	}
	type result struct {
		data []byte
		err  error
	}
	got := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(a.in)
		got <- result{data, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			return "", fmt.Errorf("reading standard input: %w", r.err)
		}
		return string(r.data), nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
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
