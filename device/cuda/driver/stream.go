//go:build cuda

package driver

// #include "shim.h"
import "C"

import (
	"errors"
	"unsafe"

	"gorgonia.org/cu"
)

// Stream is an order of work on a device. The zero Stream is not usable; see NewStream.
type Stream struct {
	c *Context
	s cu.Stream
}

// NewStream makes a stream that does not wait for the default one. The higher the
// priority the sooner its kernels start; 0 is the usual one, and values beyond what the
// device knows are brought to the nearest.
func (c *Context) NewStream(priority int) (Stream, error) {
	// The driver counts the other way.
	s, err := cu.MakeStreamWithPriority(-priority, cu.NonBlocking)
	return Stream{c, s}, c.wrapped("cuStreamCreateWithPriority", err)
}

// Context is where the stream lives.
func (s Stream) Context() *Context { return s.c }

// Synchronize waits for everything in the stream.
func (s Stream) Synchronize() error {
	return s.wrapped("cuStreamSynchronize", s.s.Synchronize())
}

// Done tells whether everything in the stream is done.
func (s Stream) Done() (bool, error) {
	return done(s.wrapped("cuStreamQuery", s.s.Query()))
}

// Wait lets what follows in the stream wait for an event, of this or another device.
func (s Stream) Wait(e Event) error {
	return s.wrapped("cuStreamWaitEvent", s.s.Wait(e.e, 0))
}

// Destroy gives the stream back; work in it is still done.
func (s *Stream) Destroy() error {
	if s.c == nil {
		return nil
	}
	err := s.wrapped("cuStreamDestroy_v2", s.s.Destroy())
	*s = Stream{}
	return err
}

func (s Stream) handle() C.CUstream                     { return *(*C.CUstream)(unsafe.Pointer(&s.s)) }
func (s Stream) wrapped(call string, err error) error   { return s.c.wrapped(call, err) }
func (s Stream) failed(call string, r C.CUresult) error { return s.c.failed(call, r) }

// Event is a point in a stream.
type Event struct {
	c *Context
	e cu.Event
}

// NewEvent makes an event, with or without a clock; those without are cheaper.
func (c *Context) NewEvent(timed bool) (Event, error) {
	flags := cu.DisableTiming
	if timed {
		flags = cu.DefaultEvent
	}
	e, err := cu.MakeEvent(flags)
	return Event{c, e}, c.wrapped("cuEventCreate", err)
}

// Record sets the event to where the stream is now.
func (e Event) Record(s Stream) error {
	return e.c.wrapped("cuEventRecord", e.e.Record(s.s))
}

// Synchronize waits for the event.
func (e Event) Synchronize() error {
	return e.c.wrapped("cuEventSynchronize", e.e.Synchronize())
}

// Done tells whether the event was reached.
func (e Event) Done() (bool, error) {
	return done(e.c.wrapped("cuEventQuery", e.e.Query()))
}

// Since is the time from another event to this one in seconds; both must be timed and reached.
func (e Event) Since(start Event) (float64, error) {
	ms, err := start.e.Elapsed(e.e)
	return ms / 1e3, e.c.wrapped("cuEventElapsedTime_v2", err)
}

// Destroy gives the event back.
func (e *Event) Destroy() error {
	if e.c == nil {
		return nil
	}
	err := e.c.wrapped("cuEventDestroy_v2", cu.DestroyEvent(&e.e))
	*e = Event{}
	return err
}

func done(err error) (bool, error) {
	if errors.Is(err, ErrNotReady) {
		return false, nil
	}
	return err == nil, err
}
