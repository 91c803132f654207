package cpu

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// team is a fixed number of workers that run calls together. A call is a course of
// jobs (control); a job is a parallel loop. All workers are alike: whoever is
// there begins a call, claims pieces of a job, and goes on when one is over. When the scheduler
// gives the core of one to another process, the others do everything meanwhile, also
// once more what that one has under way.
//
// The goroutines are not locked to threads: waking a parked goroutine on its own thread
// costs a hand-over between threads of several microseconds, and one that
// spins stays on its thread by itself.
type team struct {
	device  string
	control control
	workers []member
	joined  sync.WaitGroup

	done  chan struct{} // capacity 1: the call has ended
	ended time.Time     // the last one

	failMu sync.Mutex
	failed error // first error of the job

	_      [64]byte
	called atomic.Bool // a call that nobody has begun
	inCall atomic.Bool // one is to be done
	closed atomic.Bool // workers are to end
	job    job
}

// member is one worker.
type member struct {
	work
	look   func() event
	bodies struct{ pieces, again, alone func() error }
	_      [64]byte // what others watch lies in other cache lines

	bell
	holds     claimed       // when the job may be done again
	ended     atomic.Uint64 // number of the job, pieces of it that this worker ended
	busy      atomic.Bool   // with pieces, perhaps of a job that is over
	processor atomic.Int32  // where it was lately; -1: it sleeps
	_         [64]byte
}

// newTeam starts a team of workers ≥ 1. device names it in errors.
func newTeam(device string, workers int) *team {
	t := &team{device: device, workers: make([]member, workers), done: make(chan struct{}, 1)}
	t.job.shares = make([]share, workers)
	t.control.start(device)
	for w := range workers {
		m := &t.workers[w]
		m.bell, m.id = newBell(), w
		m.processor.Store(-1)
		m.look = func() event { return t.look(m) }
		m.bodies.pieces = func() error { t.pieces(m); return nil }
		m.bodies.again = func() error { t.pieceAgain(m); return nil }
		m.bodies.alone = func() error { m.alone(); return nil }
	}
	for w := range workers {
		t.joined.Go(func() { t.live(&t.workers[w]) })
	}
	return t
}

// Workers is the number of workers.
func (t *team) Workers() int { return len(t.workers) }

// do has the workers run fn, which may call Run, and returns its error; a panic is a
// *device.PanicError. It must not be called concurrently.
func (t *team) do(ctx context.Context, fn func(ctx context.Context) error) error {
	c := &t.control
	c.ctx, c.fn = ctx, fn
	t.inCall.Store(true)
	t.called.Store(true)
	// Who watches sees it. After a pause that may be one alone, and not running.
	if time.Since(t.ended) > endTime || !t.watched() {
		t.wake(1)
	}
	<-t.done
	t.ended = time.Now()
	c.ctx, c.fn = nil, nil
	return c.err
}

// Close ends and joins the workers. Nothing may be called afterwards.
func (t *team) Close() {
	t.closed.Store(true)
	for w := range t.workers {
		t.workers[w].ring()
	}
	t.joined.Wait()
	t.control.end()
}

// watched tells, between calls, whether a worker neither sleeps nor is late.
func (t *team) watched() bool {
	for w := range t.workers {
		if m := &t.workers[w]; !m.asleep.Load() && !m.busy.Load() {
			return true
		}
	}
	return false
}

// wake wakes workers that sleep, so many at most.
func (t *team) wake(most int) {
	for w := range t.workers {
		if most == 0 {
			return
		}
		if t.workers[w].ring() {
			most--
		}
	}
}
