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

// queue is the one goroutine that talks to a GPU's driver. It is locked to a thread,
// on which the GPU's context is current, and does jobs in the order in which they come.
// For a short while after each it looks for the next one before it sleeps: waking a
// locked goroutine takes longer than a small kernel.
type queue struct {
	name string
	jobs chan func()
	gone chan struct{} // closed when the goroutine has ended

	// rest does what can be done while there is no job, and says whether something is
	// left to look at again soon. Set before the first job.
	rest func() bool

	mu     sync.RWMutex // held for reading while a job is handed over
	closed bool
}

// queued is how many jobs may wait; whoever brings more waits too.
const queued = 64

// watch is how long the goroutine looks for a job before it sleeps.
const watch = 60 * time.Microsecond

// glance is how often the goroutine looks at what rest left.
const glance = 20 * time.Microsecond

func newQueue(name string, rest func() bool) *queue {
	q := &queue{name: name, jobs: make(chan func(), queued), gone: make(chan struct{}), rest: rest}
	go q.run()
	return q
}

func (q *queue) run() {
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	defer close(q.gone)
	// Yielding makes a locked goroutine change threads with others, which takes longer than
	// what it waits for: it does so only where cores are few.
	spare := runtime.GOMAXPROCS(0) > 3
	for {
		select {
		case job, ok := <-q.jobs:
			if !ok {
				return
			}
			job()
			continue
		default:
		}
		for until := time.Now().Add(watch); len(q.jobs) == 0 && time.Now().Before(until); {
			if !spare {
				runtime.Gosched()
			}
		}
		for len(q.jobs) == 0 && q.rest() {
			time.Sleep(glance)
		}
		if len(q.jobs) > 0 {
			continue
		}
		job, ok := <-q.jobs
		if !ok {
			return
		}
		job()
	}
}

// post hands a job over and does not wait for it.
func (q *queue) post(job func()) error {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		return fmt.Errorf("cuda: %s: %w", q.name, device.ErrClosed)
	}
	q.jobs <- job
	return nil
}

// do runs a job and waits for its end. A panic in it becomes a *device.PanicError.
func (q *queue) do(job func() error) (err error) {
	done := make(chan struct{})
	perr := q.post(func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				err = &device.PanicError{Device: q.name, Value: v, Stack: debug.Stack()}
			}
		}()
		err = job()
	})
	if perr != nil {
		return perr
	}
	<-done
	return err
}

// close lets the jobs that were handed over end, then the goroutine; again does no harm.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.jobs)
	}
	q.mu.Unlock()
	<-q.gone
}
