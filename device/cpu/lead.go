package cpu

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"tritflow/device"
)

// leadTime is how long a lead spins. Once it parks, its processor takes over
// what waits on others, the next stage of the same device perhaps; so this is
// shorter than spinTime.
const leadTime = 5 * time.Microsecond

// lead is the goroutine on which a device works: it is worker 0 of every job.
// The stages of a device are many goroutines, and each of them would have to
// be moved to a processor of its own before two devices work at the same
// time; a lead that spins between calls has one already.
type lead struct {
	device string
	box    *mailbox
	done   chan struct{} // capacity 1
	joined sync.WaitGroup

	// The call at hand.
	ctx context.Context
	fn  func(ctx context.Context) error
	err error
}

func newLead(device string) *lead {
	l := &lead{device: device, box: newMailbox(leadTime), done: make(chan struct{}, 1)}
	l.joined.Go(func() {
		for l.box.next() {
			l.err = l.guarded()
			l.done <- struct{}{}
		}
	})
	return l
}

// do runs fn on the lead's goroutine and returns its error; a panic is a
// *device.PanicError. It must not be called concurrently.
func (l *lead) do(ctx context.Context, fn func(ctx context.Context) error) error {
	l.ctx, l.fn = ctx, fn
	l.box.post()
	<-l.done
	l.ctx, l.fn = nil, nil
	return l.err
}

func (l *lead) guarded() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &device.PanicError{Device: l.device, Value: v, Stack: debug.Stack()}
		}
	}()
	return l.fn(l.ctx)
}

// close ends and joins the goroutine.
func (l *lead) close() {
	l.box.close()
	l.joined.Wait()
}
