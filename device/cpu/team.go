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

	// The job at hand, written by Run while the helpers are idle.
	fn    func(worker, lo, hi int)
	n     int
	grain int
	next  atomic.Int64 // first index not handed out
	busy  atomic.Int32 // helpers still at work

	// waiting is set while Run sleeps until the last helper is done.
	waiting atomic.Bool
	done    chan struct{} // capacity 1

	failMu sync.Mutex
	failed error // first error of the job
}

// newTeam starts a team of workers ≥ 1. device names it in errors.
func newTeam(device string, workers int) *team {
	t := &team{device: device, done: make(chan struct{}, 1)}
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

// Workers is the number of workers, the caller of Run included.
func (t *team) Workers() int { return len(t.bodies) }

// Run calls fn(worker, lo, hi) for disjoint pieces [lo, hi) of at most grain
// indices that cover [0, n), and returns when all are done. A worker runs one
// piece at a time, so fn may use memory that belongs to the worker. A fault in
// mapped memory (*gguf.FaultError) or a panic (*device.PanicError) in a piece
// ends the job early and is returned. Run must not be called concurrently or
// from within fn.
func (t *team) Run(n, grain int, fn func(worker, lo, hi int)) error {
	if n <= 0 {
		return nil
	}
	t.fn, t.n, t.grain, t.failed = fn, n, max(grain, 1), nil
	t.next.Store(0)
	helpers := t.helpers[:min(len(t.helpers), (n+t.grain-1)/t.grain-1)]
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
	t.next.Store(int64(t.n))
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

func (t *team) pieces(worker int) {
	for {
		hi := int(t.next.Add(int64(t.grain)))
		lo := hi - t.grain
		if lo >= t.n {
			return
		}
		t.fn(worker, lo, min(hi, t.n))
	}
}
