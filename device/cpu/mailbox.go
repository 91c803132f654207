package cpu

import (
	"runtime"
	"sync/atomic"
	"time"
)

// spinTime is how long a goroutine that has nothing to do watches for work
// before it parks: longer than the gaps between the jobs of a step, too short
// to be seen when the pipeline is idle. While it spins, a neighbour that was
// interrupted cannot have its core, so longer is not better on a busy machine.
const spinTime = 50 * time.Microsecond

// mailbox tells one goroutine that there is work. It holds no work itself: the
// poster writes that down before it posts, and posts again only after the work
// was done.
type mailbox struct {
	posts  atomic.Uint32
	seen   uint32        // posts taken; the owner's
	parked atomic.Bool   // the owner sleeps until wake; whoever clears this sends
	wake   chan struct{} // capacity 1
	watch  time.Duration // how long the owner spins
	_      [64]byte      // a cache line of its own: others spin on theirs
}

func newMailbox(watch time.Duration) *mailbox {
	return &mailbox{wake: make(chan struct{}, 1), watch: watch}
}

// post tells the owner.
func (m *mailbox) post() {
	m.posts.Add(1)
	if m.parked.CompareAndSwap(true, false) {
		m.wake <- struct{}{}
	}
}

// close ends the owner's loop. Nothing may be posted any more.
func (m *mailbox) close() { close(m.wake) }

// next waits for the next post; false means that the mailbox was closed. A
// poster that is interrupted between its two steps wakes the owner after the
// work was done already, so being woken means nothing by itself.
func (m *mailbox) next() bool {
	for !spin(m.watch, m.posted) {
		m.parked.Store(true)
		// The poster either sees the flag and sends, or posted before.
		if !m.posted() || !m.parked.CompareAndSwap(true, false) {
			if _, open := <-m.wake; !open {
				return false
			}
		}
	}
	m.seen = m.posts.Load()
	return true
}

func (m *mailbox) posted() bool { return m.posts.Load() != m.seen }

// spin watches ready for a while and returns what it said last. It lets other
// goroutines run in between.
func spin(watch time.Duration, ready func() bool) bool {
	const looks = 64
	for start := time.Now(); ; runtime.Gosched() {
		for range looks {
			if ready() {
				return true
			}
		}
		if time.Since(start) > watch {
			return ready()
		}
	}
}
