package cpu

import (
	"runtime"
	"runtime/debug"
	"time"

	"tritflow/device"
	"tritflow/gguf"
)

// work is what a worker is at; nobody else looks.
type work struct {
	id     int
	number uint32 // of the job that it knows
	again  bool   // which may be done again

	// Of that job, once the worker has a piece of it.
	taken    uint32 // its number
	task     *task
	n, grain int

	piece piece // at hand

	joined time.Time
	done   int // pieces since then

	looked time.Time // where it runs
	seat   seat

	late *member // who has a piece that is to be done again
	word uint64  // which
}

// piece is a part of a job.
type piece struct {
	at   int
	of   *claimed // whoever claimed it; nil: it is not done again
	kept bool     // committed
}

// Run, called by what t.do runs, has task.do work on disjoint pieces of at most grain
// indices that cover [0, n), and returns when all are done. Each worker has a
// share of them, and helps with those of others when it is through. It runs one
// piece at a time, so that a task may use memory that belongs to the worker. A fault in
// mapped memory (*gguf.FaultError) or a panic (*device.PanicError) in a piece
// ends the job early and is returned. A task must not call Run.
func (t *team) Run(n, grain int, task *task) error {
	if n <= 0 {
		return nil
	}
	grain = max(grain, 1, (n+mostPieces-1)/mostPieces)
	pieces := (n + grain - 1) / grain
	if m := &t.workers[t.control.worker]; pieces == 1 || len(t.workers) == 1 {
		m.task, m.n, m.grain = task, n, grain
		return t.recovered(m.bodies.alone)
	}
	t.failed = nil
	t.job.prepare(n, grain, pieces, task)
	t.control.inJob()
	return t.failed
}

// alone does a whole job.
func (m *member) alone() {
	for lo := 0; lo < m.n; lo += m.grain {
		hi := min(lo+m.grain, m.n)
		if m.task.keep == nil {
			m.task.do(m.id, lo, hi)
			continue
		}
		m.task.take(m.id)
		m.task.do(m.id, lo, hi)
		m.task.keep(m.id, lo, hi)
	}
}

// pieces does pieces of a worker's own share, then of what is left of those of others.
func (t *team) pieces(m *member) {
	shares := t.job.shares
	for i := range shares {
		s := &shares[(m.id+i)%len(shares)]
		for {
			at, n := s.claim(m.number, 1)
			if n == 0 {
				break
			}
			var of *claimed
			if m.again {
				of = &m.holds
				of.set(m.number, at)
			}
			t.piece(m, piece{at: at, of: of})
			m.done++
		}
	}
}

// pieceAgain does a piece that another worker has under way.
func (t *team) pieceAgain(m *member) {
	t.piece(m, piece{at: pieceOf(m.word), of: &m.late.holds})
}

// piece does a piece of the job that the worker knows. When the job is over meanwhile
// nothing comes of it.
func (t *team) piece(m *member, p piece) {
	m.piece = p
	if m.taken != m.number && !t.takePart(m, p) {
		return
	}
	lo := p.at * m.grain
	hi := min(lo+m.grain, m.n)
	m.task.do(m.id, lo, hi)
	if p.of != nil && !p.of.commit(m.number, p.at) {
		return
	}
	if m.piece.kept = true; m.task.keep != nil {
		m.task.keep(m.id, lo, hi)
	}
	m.end(1)
}

// takePart copies what there is to know of the job of a piece; false means that it is over. As
// long as the piece waits for this worker it cannot be. When another one has done it, the
// next job may have been prepared meanwhile, and what was copied is not looked at.
func (t *team) takePart(m *member, p piece) bool {
	m.task, m.n, m.grain = t.job.task, t.job.n, t.job.grain
	if m.task.take != nil {
		m.task.take(m.id)
	}
	if p.of != nil && !p.of.waits(m.number, p.at) {
		return false
	}
	m.taken = m.number
	return true
}

// end counts pieces that the worker has ended.
func (m *member) end(pieces int) {
	word := m.ended.Load()
	if numberOf(word) != m.number {
		word = uint64(m.number) << 32
	}
	m.ended.Store(word + uint64(pieces))
}

// join does pieces of the job until none is left to claim. A piece that ended in an error
// is the first and only one unless others have committed it.
func (t *team) join(m *member) {
	m.joined, m.done = time.Now(), 0
	t.spread(m)
	m.busy.Store(true)
	for !t.guarded(m, m.bodies.pieces) {
	}
	m.busy.Store(false)
}

// helpAgain does a piece of another worker again, for which the worker is busy.
func (t *team) helpAgain(m *member) {
	t.guarded(m, m.bodies.again)
	m.busy.Store(false)
}

// guarded runs a body; false means that a piece ended in an error, which is that of the job
// and ends it unless the piece was done by another worker.
func (t *team) guarded(m *member, body func() error) bool {
	err := t.recovered(body)
	if err == nil {
		return true
	}
	if p := &m.piece; p.of != nil && !p.kept && !p.of.commit(m.number, p.at) {
		return false
	}
	t.failMu.Lock()
	if t.failed == nil {
		t.failed = err
	}
	t.failMu.Unlock()
	pieces := 1
	for i := range t.job.shares {
		_, n := t.job.shares[i].claim(m.number, mostPieces)
		pieces += n
	}
	m.end(pieces)
	return false
}

func (t *team) recovered(body func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &device.PanicError{Device: t.device, Value: v, Stack: debug.Stack()}
		}
	}()
	return gguf.Guard(body)
}

// settle waits until no worker is at a piece of a job that is over. It must not be
// called during a call.
func (t *team) settle() {
	for w := range t.workers {
		for t.workers[w].busy.Load() {
			runtime.Gosched()
		}
	}
}
