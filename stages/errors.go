package stages

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

var (
	// ErrShutdown is matched by errors of requests that came after, or were
	// aborted by, Shutdown or Close.
	ErrShutdown = errors.New("stages: the engine is shut down")
	// ErrBusy is matched when a request with NoWait finds the queue full.
	ErrBusy = errors.New("stages: the queue of waiting requests is full; try again later")
	// ErrNoContext is returned where a context is nil, before anything is begun.
	ErrNoContext = errors.New("stages: the context is nil; context.Background() never ends")
)

// errBrokenOff is why a request ended whose consumer left the loop over its tokens.
var errBrokenOff = fmt.Errorf("stages: the consumer broke off: %w", context.Canceled)

// RequestError: a request asks for something that cannot be done.
type RequestError struct {
	Field  string // field of Request, with the inner one after a dot
	Reason string // what is wrong and what to do
	Err    error  // the underlying error, or nil
}

func (e *RequestError) Error() string {
	return fmt.Sprintf("stages: request: %s: %s", e.Field, e.Reason)
}

// Unwrap gives the underlying error, such as a *sample.ParamError.
func (e *RequestError) Unwrap() error { return e.Err }

// OptionError: an engine cannot be set up as its Options say.
type OptionError struct {
	Field  string
	Reason string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("stages: option %s: %s", e.Field, e.Reason)
}

// KindError: the model is not made for what is asked.
type KindError struct {
	Asked string // what it is to do
	Makes string // what it makes
}

func (e *KindError) Error() string {
	return fmt.Sprintf("stages: the model cannot %s: it makes %s", e.Asked, e.Makes)
}

// StageError: a stage could not do its work on a step. All requests of the
// step end with it.
type StageError struct {
	Stage  string
	Device string
	Err    error
}

func (e *StageError) Error() string {
	return fmt.Sprintf("stages: %s on %s: %v", e.Stage, e.Device, e.Err)
}

// Unwrap gives the device's error.
func (e *StageError) Unwrap() error { return e.Err }

// PanicError: a goroutine of the pipeline panicked. Its state is unknown
// afterwards, so every request ends with this error and the engine takes no
// more of them.
type PanicError struct {
	Where string
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("stages: panic in %s: %v", e.Where, e.Value)
}

// Unwrap gives the panic's value where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// catch runs fn and returns its error, or its panic as a *PanicError.
func catch(where string, fn func() error) (err error) {
	defer caught(where, &err)
	return fn()
}

// caught, deferred, makes an error of a panic.
func caught(where string, err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Where: where, Value: v, Stack: debug.Stack()}
	}
}
