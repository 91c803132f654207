package cpu

import (
	"runtime/debug"
	"sync"
	"sync/atomic"

	"tritflow/device"
	"tritflow/gguf"
)

// team is a fixed number of workers that run parallel loops together. Worker
// 0 is the goroutine that calls Run; the others are goroutines of the team.
// They spin for a moment between jobs and then park (mailbox).
//
// They are not locked to threads: waking a parked goroutine on its own thread
// costs a hand-over between threads of several microseconds, and one that
// spins stays on its thread by itself.
type team struct {
	device  string
	helpers []*mailbox
	bodies  []func() error // per worker: its loop over pieces
	joined  sync.WaitGroup

	limit int // workers that take part in jobs to come

	// The job at hand, written by Run while the helpers are idle.
	fn     func(worker, lo, hi int)
	n      int
	grain  int
	shares []share      // one a worker that takes part
	all    []share      // room for as many as there are workers
	busy   atomic.Int32 // helpers still at work

	// waiting is set while Run sleeps until the last helper is done.
	waiting atomic.Bool
	done    chan struct{} // capacity 1

	failMu sync.Mutex
	failed error // first error of the job
}

// share is what a worker does of a job as long as it keeps up: indices that
// follow each other, so that what it has fetched ahead at the end of a piece is
// what the next one begins with.
type share struct {
	next atomic.Int64 // first index not handed out
	end  int64
	_    [48]byte // a cache line of its own
}

// newTeam starts a team of workers ≥ 1. device names it in errors.
func newTeam(device string, workers int) *team {
	t := &team{device: device, all: make([]share, workers), limit: workers, done: make(chan struct{}, 1)}
	for w := range workers {
		t.bodies = append(t.bodies, func() error {
			t.pieces(w)
			return nil
		})
	}
	for w := 1; w < workers; w++ {
		box := newMailbox(spinTime)
		t.helpers = append(t.helpers, box)
		t.joined.Go(func() { t.help(w, box) })
	}
	return t
}

// enlist has only the first so many workers take part in jobs to come, at least
// one and at most all. It must not be called during a job.
func (t *team) enlist(workers int) { t.limit = min(max(workers, 1), t.Workers()) }

// Workers is the number of workers, the caller of Run included.
func (t *team) Workers() int { return len(t.bodies) }

// Run calls fn(worker, lo, hi) for disjoint pieces [lo, hi) of at most grain
// indices that cover [0, n), and returns when all are done. Each worker has a
// share of them, and helps with those of others when it is through. It runs one
// piece at a time, so fn may use memory that belongs to the worker. A fault in
// mapped memory (*gguf.FaultError) or a panic (*device.PanicError) in a piece
// ends the job early and is returned. Run must not be called concurrently or
// from within fn.
func (t *team) Run(n, grain int, fn func(worker, lo, hi int)) error {
	if n <= 0 {
		return nil
	}
	t.fn, t.n, t.grain, t.failed = fn, n, max(grain, 1), nil
	pieces := (n + t.grain - 1) / t.grain
	helpers := t.helpers[:min(t.limit, pieces)-1]
	t.divide(pieces, len(helpers)+1)
	t.busy.Store(int32(len(helpers)))
	for _, box := range helpers {
		box.post()
	}
	t.work(0)
	// A helper that was interrupted right after its last job may answer the
	// flag of this one, so only busy tells the end.
	for !spin(spinTime, func() bool { return t.busy.Load() == 0 }) {
		t.waiting.Store(true)
		// The last helper either sees the flag and sends, or was done before.
		if t.busy.Load() != 0 || !t.waiting.CompareAndSwap(true, false) {
			<-t.done
		}
	}
	t.fn = nil
	return t.failed
}

// Close ends and joins the helpers. Run must not be called afterwards.
func (t *team) Close() {
	for _, box := range t.helpers {
		box.close()
	}
	t.joined.Wait()
}

// help is the life of one helper.
func (t *team) help(worker int, box *mailbox) {
	for box.next() {
		t.work(worker)
		if t.busy.Add(-1) == 0 && t.waiting.CompareAndSwap(true, false) {
			t.done <- struct{}{}
		}
	}
}

// work runs pieces until none is left; an error stops the whole team.
func (t *team) work(worker int) {
	err := t.guarded(worker)
	if err == nil {
		return
	}
	for i := range t.shares {
		t.shares[i].next.Store(t.shares[i].end)
	}
	t.failMu.Lock()
	defer t.failMu.Unlock()
	if t.failed == nil {
		t.failed = err
	}
}

func (t *team) guarded(worker int) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &device.PanicError{Device: t.device, Value: v, Stack: debug.Stack()}
		}
	}()
	return gguf.Guard(t.bodies[worker])
}

// divide gives each of the first workers its share of the pieces.
func (t *team) divide(pieces, workers int) {
	t.shares = t.all[:workers]
	lo := 0
	for i := range t.shares {
		hi := min(((i+1)*pieces+workers-1)/workers*t.grain, t.n)
		t.shares[i].end = int64(hi)
		t.shares[i].next.Store(int64(lo))
		lo = hi
	}
}

// pieces runs a worker's own share, then what is left of those of others.
func (t *team) pieces(worker int) {
	for i := range t.shares {
		s := &t.shares[(worker+i)%len(t.shares)]
		for {
			hi := s.next.Add(int64(t.grain))
			lo := hi - int64(t.grain)
			if lo >= s.end {
				break
			}
			t.fn(worker, int(lo), int(min(hi, s.end)))
		}
	}
}
