package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"tritflow/bench"
	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/cmd/tritflow/internal/convert"
	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/cmd/tritflow/internal/crossval/remote"
	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/cmd/tritflow/internal/score"
	"tritflow/cmd/tritflow/internal/targets"
	"tritflow/device"
	"tritflow/gguf"
	"tritflow/gguf/hf"
	"tritflow/gguf/vocab"
	"tritflow/stages"
	"tritflow/stages/sample"
)

// The exit codes are part of the contract with scripts.
const (
	exitOK      = 0
	exitFailure = 1   // something went wrong while working: input/output, time, numbers
	exitRefused = 2   // what was asked cannot be done: flags, request, device, memory, model file
	exitPartial = 3   // batch: finished, and some lines are error lines
	exitSignal  = 128 // plus the signal's number: 130 after Ctrl-C
)

const exitHelp = `Exit codes:
  0    done (also when the reader of standard output went away)
  1    failed while working: a full disk, a timeout, numbers that are not finite;
       eval: the model does not reach the card; validate, crossval, bench: beyond
       a limit
  2    refused: wrong flags, a request that cannot be served, an unknown device,
       a model that does not fit, or whose file is missing, damaged or unsupported
  130  interrupted with Ctrl-C (143: terminated)`

// usageError is a command line that makes no sense as it stands.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// modelError is a model that could not be opened or bound.
type modelError struct{ err error }

func (e *modelError) Error() string {
	var format *gguf.FormatError // of a split file, whose other parts are named
	if errors.Is(e.err, fs.ErrNotExist) && !errors.As(e.err, &format) {
		return e.err.Error() + "; give the path of a GGUF file, nothing is downloaded"
	}
	return e.err.Error()
}

func (e *modelError) Unwrap() error { return e.err }

// signalError is the cause with which a signal cancels a context.
type signalError struct{ signal os.Signal }

func (e *signalError) Error() string { return "interrupted by signal: " + e.signal.String() }

func (e *signalError) code() int {
	if s, ok := e.signal.(syscall.Signal); ok {
		return exitSignal + int(s)
	}
	return exitSignal + int(syscall.SIGINT)
}

// errOutputClosed: nobody reads standard output any more. A clean end.
var errOutputClosed = errors.New("standard output was closed")

// errWillNotRun: check has said its reasons already.
var errWillNotRun = errors.New("the model will not run")

// errSomeFailed: batch is done and has said how many lines are error lines.
var errSomeFailed = errors.New("some lines are error lines")

// exitCode sorts an error; quiet errors are not reported, because everything
// has been said.
func exitCode(err error) (code int, quiet bool) {
	var sig *signalError
	switch {
	case err == nil, errors.Is(err, errOutputClosed):
		return exitOK, true
	case errors.As(err, &sig):
		return sig.code(), true
	case errors.Is(err, errWillNotRun):
		return exitRefused, true
	case errors.Is(err, errSomeFailed):
		return exitPartial, true
	case told(err):
		return exitFailure, true
	case refused(err):
		return exitRefused, false
	}
	return exitFailure, false
}

// told are failures that a command has printed in full.
func told(err error) bool {
	return errors.Is(err, errBelow) || errors.Is(err, errInvalid) || errors.Is(err, errDiverges) ||
		errors.Is(err, errDiffers) || errors.Is(err, errAbovePlan) || errors.Is(err, errMissed)
}

// refused tells errors that another try with the same input will meet again.
func refused(err error) bool {
	return is[*usageError](err) || is[*modelError](err) ||
		is[*stages.RequestError](err) || is[*stages.KindError](err) || is[*sample.ParamError](err) || is[*device.SpecError](err) || is[*device.UnavailableError](err) ||
		is[*vocab.UnsupportedError](err) || is[*bench.KindError](err) || batch.Refused(err) || is[*score.TextError](err) || is[*hf.Error](err) || is[*convert.Error](err) ||
		is[*crossval.DumpError](err) || is[*crossval.OverrideError](err) || remote.Refused(err) || is[*receipt.FileError](err) || is[*targets.FileError](err)
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// openFailure sorts an error of opening a model: being interrupted is not the
// model's fault.
func openFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &modelError{err}
}
