package cpu

import "sync/atomic"

// bell wakes one goroutine.
type bell struct {
	asleep atomic.Bool   // the owner sleeps until it rings; whoever clears this sends
	wakes  chan struct{} // capacity 1
}

func newBell() bell { return bell{wakes: make(chan struct{}, 1)} }

// ring wakes the owner, if it sleeps. What there is to do must have been written down before.
func (b *bell) ring() bool {
	woken := b.asleep.CompareAndSwap(true, false)
	if woken {
		b.wakes <- struct{}{}
	}
	return woken
}

// sleep waits until the bell rings, unless look finds something to do, which it returns.
// Whoever rings either sees that the owner sleeps, or has written it down before look looks.
func (b *bell) sleep(look func() event) event {
	b.asleep.Store(true)
	e := look()
	if e == nothing || !b.asleep.CompareAndSwap(true, false) {
		<-b.wakes
	}
	return e
}
