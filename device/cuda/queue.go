//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"tritflow/device"
)

// queue is the order in which a GPU's driver is talked to: jobs are done one after the other,
// by whoever brings them, on a thread on which the GPU's context is current. A job does not
// go to a goroutine of its own: waking one that is locked to a thread takes longer than a
// small kernel, several times a token.
type queue struct {
	name    string
	current func() error // makes the context current; set by the first job

	mu     sync.Mutex // held during a job
	closed bool

	left chan struct{} // there may be something for rest
	gone chan struct{} // closed when the goroutine that rests has ended
}

// glance is how often is looked at what jobs have left in the stream.
const glance = 100 * time.Microsecond

// newQueue makes a queue. rest does what can be done while there is no job, and says
// whether something is left to look at again soon.
func newQueue(name string, rest func() bool) *queue {
	q := &queue{name: name, left: make(chan struct{}, 1), gone: make(chan struct{})}
	go q.watch(rest)
	return q
}

// watch calls rest between jobs for as long as it says.
func (q *queue) watch(rest func() bool) {
	defer close(q.gone)
	for range q.left {
		for again := true; again; {
			time.Sleep(glance)
			again = false
			q.hold(func() error { //nolint:errcheck // a closed queue has nothing left
				again = rest()
				return nil
			})
		}
	}
}

// hold does a job.
func (q *queue) hold(job func() error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("cuda: %s: %w", q.name, device.ErrClosed)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if q.current != nil {
		if err := q.current(); err != nil {
			return err
		}
	}
	return job()
}

// post does a job that puts work into the stream; the work may end later.
func (q *queue) post(job func()) error {
	return q.hold(func() error {
		job()
		q.leave()
		return nil
	})
}

// leave has rest called soon. On the queue.
func (q *queue) leave() {
	select {
	case q.left <- struct{}{}:
	default:
	}
}

// do does a job. A panic in it becomes a *device.PanicError.
func (q *queue) do(job func() error) error {
	return q.hold(func() (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = &device.PanicError{Device: q.name, Value: v, Stack: debug.Stack()}
			}
		}()
		return job()
	})
}

// close refuses further jobs and ends the goroutine; again does no harm.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.left)
	}
	q.mu.Unlock()
	<-q.gone
}
