package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"syscall"
)

// output is standard output. A reader that went away (as in `| head -1`) gives
// errOutputClosed, other failures an *outputError.
type output struct {
	w      io.Writer
	failed error // of the first write that failed
}

// outputError: standard output could not be written.
type outputError struct{ err error }

func (e *outputError) Error() string {
	var system syscall.Errno
	if errors.As(e.err, &system) {
		return fmt.Sprintf("writing to standard output: %v; free some space or send the output elsewhere", system)
	}
	return "writing to standard output: " + e.err.Error()
}

func (e *outputError) Unwrap() error { return e.err }

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	switch {
	case err == nil:
		return n, nil
	case brokenPipe(err):
		err = errOutputClosed
	default:
		err = &outputError{err}
	}
	o.failed = firstError(o.failed, err)
	return n, err
}

// brokenPipe recognises the same event by the names that systems have for it.
func brokenPipe(err error) bool {
	const (
		windowsBrokenPipe = syscall.Errno(109)
		windowsNoData     = syscall.Errno(232)
	)
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) ||
		runtime.GOOS == "windows" && (errors.Is(err, windowsBrokenPipe) || errors.Is(err, windowsNoData))
}

// print writes text.
func (o *output) print(text string) error {
	_, err := io.WriteString(o, text)
	return err
}

// json writes one value and a newline, indented for people or on one line.
func (o *output) json(v any, indent bool) error {
	return writeJSON(o, v, indent)
}

func writeJSON(w io.Writer, v any, indent bool) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	return e.Encode(v)
}
