package stages

import "sync/atomic"

// outlet is a bounded channel from the scheduler to the consumer of one
// request. The scheduler never blocks on it: it asks for room before it lets
// rows be computed whose answers will need it.
type outlet[T any] struct {
	ch      chan T
	err     error // why it ended; set before ch is closed
	stalled atomic.Bool
	wake    func() // tells the scheduler that there is room again
}

// newOutlet makes an outlet for n messages and one that ends it.
func newOutlet[T any](n int, wake func()) *outlet[T] {
	return &outlet[T]{ch: make(chan T, n+1), wake: wake}
}

// room says whether one more message fits besides those that are under way.
func (o *outlet[T]) room(underWay int) bool {
	fits := func() bool { return len(o.ch)+underWay < cap(o.ch)-1 }
	if fits() {
		return true
	}
	// A consumer that reads between the question and the mark would not wake
	// the scheduler, hence the second question.
	o.stalled.Store(true)
	return fits()
}

// drained says whether the consumer has read everything, and none is owed to it.
func (o *outlet[T]) drained(owed int) bool { return o.room(cap(o.ch) - 2 + owed) }

// put sends a message that room was asked for.
func (o *outlet[T]) put(v T) {
	select {
	case o.ch <- v:
	default:
		panic("stages: a message was sent to a consumer without room for it")
	}
}

// close ends the messages, with err when it is not nil.
func (o *outlet[T]) close(err error) {
	o.err = err
	close(o.ch)
}

// drain waits for the end.
func (o *outlet[T]) drain() {
	for ok := true; ok; {
		_, ok = o.next()
	}
}

// next receives a message; false means the end, after which err is valid.
func (o *outlet[T]) next() (T, bool) {
	v, ok := <-o.ch
	if ok && o.stalled.Swap(false) {
		o.wake()
	}
	return v, ok
}
