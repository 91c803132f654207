package cpu

import (
	"runtime"
	"time"
)

const (
	// spinTime is how long a worker that has nothing to do watches before it sleeps:
	// longer than the gaps between the jobs of a step, too short to be seen when the
	// pipeline is idle. While it spins, a neighbour that was interrupted cannot have
	// its core, so longer is not better on a busy machine.
	spinTime = 50 * time.Microsecond

	// endTime is the same for the worker that ended a call. Once it sleeps, its processor takes
	// over what waits on others, the next stage of the same device perhaps.
	endTime = 5 * time.Microsecond

	// leastPatience is how long one piece may at least hold up a worker that has nothing else
	// to do, before it is done again: several times what a piece takes, a small part of a
	// scheduler's time slice.
	leastPatience = 30 * time.Microsecond
)

// event is what there is for a worker.
type event int

const (
	nothing   event = iota
	goOn            // begin a call, or go on with it after a job
	join            // do pieces of a job
	helpAgain       // do the piece of another worker again
	leave
)

// live is the life of one worker.
func (t *team) live(m *member) {
	for watch := spinTime; ; {
		switch t.next(m, watch) {
		case goOn:
			watch = spinTime
			if t.control.goOn(m.id) {
				t.wake(t.job.publish() - 1)
			} else {
				watch = endTime
				t.inCall.Store(false)
				t.done <- struct{}{}
				runtime.Gosched() // whoever waited for it has the next call
			}
		case join:
			watch = spinTime
			t.join(m)
		case helpAgain:
			t.helpAgain(m)
		case leave:
			return
		}
	}
}

// look tells what there is; goOn only once for everybody.
func (t *team) look(m *member) event {
	now := t.job.now.Load()
	switch number := numberOf(now); {
	case number != m.number:
		m.number, m.again = number, now&doAgain != 0
		return join
	case t.job.over.Load() != number && t.complete(now) && t.job.over.CompareAndSwap(number-1, number):
		return goOn
	case t.called.Load() && t.called.CompareAndSwap(true, false):
		return goOn
	case t.closed.Load():
		return leave
	}
	return nothing
}

// complete tells whether all pieces of the job have ended.
func (t *team) complete(now uint64) bool {
	pieces := piecesOf(now)
	for w := range t.workers {
		if word := t.workers[w].ended.Load(); numberOf(word) == numberOf(now) {
			pieces -= int(uint32(word))
		}
	}
	return pieces == 0
}

// next waits for something to do. It watches for a while and then sleeps.
func (t *team) next(m *member, watch time.Duration) event {
	for {
		if e := t.watch(m, watch); e != nothing {
			return e
		}
		m.processor.Store(-1)
		if e := m.sleep(m.look); e != nothing {
			return e
		}
	}
}

// watch looks for a while, and as long as it may soon have to do a piece again. It lets
// other goroutines run in between.
func (t *team) watch(m *member, limit time.Duration) event {
	if e := t.look(m); e != nothing {
		return e
	}
	const looks = 64
	start := time.Now()
	patience := leastPatience // with a piece, of those that take so long
	if m.done > 0 {
		patience = max(patience, 2*start.Sub(m.joined)/time.Duration(m.done))
	}
	var open uint64 // such a piece
	var since time.Duration
	for ; ; runtime.Gosched() {
		for range looks {
			if e := t.look(m); e != nothing {
				return e
			}
		}
		now := time.Since(start)
		if m.again {
			other, word := t.open(m)
			switch {
			case word != open:
				open, since = word, now
			case word != 0 && now-since > patience && m.takeAgain(other, word):
				return helpAgain
			}
		}
		if open == 0 && (now > spinTime || now > limit && !t.inCall.Load()) {
			return nothing
		}
	}
}

// takeAgain lets m do the piece of a word again, unless another worker does. m is busy before it has
// the piece, so that settle cannot miss it when the piece is committed meanwhile.
func (m *member) takeAgain(other *member, word uint64) bool {
	m.busy.Store(true)
	if !other.holds.again(word) {
		m.busy.Store(false)
		return false
	}
	m.late, m.word = other, word
	return true
}

// open finds a piece of the job that m knows which waits for one other worker alone; 0: there is none.
func (t *team) open(m *member) (other *member, word uint64) {
	for w := range t.workers {
		if other = &t.workers[w]; other != m {
			if word, open := other.holds.open(m.number); open {
				return other, word
			}
		}
	}
	return nil, 0
}
