package cpu

import (
	"context"
	"iter"
	"runtime/debug"

	"tritflow/device"
)

// control is the course of a call: what is done between its jobs. It belongs to no
// worker. It is a coroutine, and whoever ends a job goes on with it, so that a
// worker that does not run holds up nobody.
type control struct {
	device string
	next   func() (inJob, ok bool) // runs up to the next job, or to the end of the call
	stop   func()
	yield  func(inJob bool) bool
	worker int // that runs it

	// The call at hand.
	ctx context.Context
	fn  func(ctx context.Context) error
	err error
}

func (c *control) start(device string) {
	c.device = device
	apart(func() {
		c.next, c.stop = iter.Pull(func(yield func(bool) bool) {
			for c.yield = yield; yield(false); {
				c.err = c.guarded()
			}
		})
		c.next()
	})
}

// end ends the coroutine.
func (c *control) end() { apart(c.stop) }

// apart runs fn on a goroutine of its own. A coroutine that was made where the caller is
// locked to a thread could not change between threads.
func apart(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}

// goOn has a worker run the call up to its next job; false means that it has ended.
func (c *control) goOn(worker int) (inJob bool) {
	c.worker = worker
	inJob, _ = c.next()
	return inJob
}

// inJob waits, within a call, until the job is over.
func (c *control) inJob() { c.yield(true) }

func (c *control) guarded() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &device.PanicError{Device: c.device, Value: v, Stack: debug.Stack()}
		}
	}()
	return c.fn(c.ctx)
}
