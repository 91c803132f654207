package cpu

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"tritflow/device"
	"tritflow/gguf"
)

// cpuDevice is a worker team, the memory it works in, and the parts loaded on it.
type cpuDevice struct {
	info   device.Info
	ledger device.Ledger
	pool   pool // Hidden and logits buffers
	team   *team
	turn   *semaphore.Weighted // held by the one call that works; first come, first served
	work   workspace           // guarded by turn

	screened screened
	calls    atomic.Uint64 // to parts, so far
	working  atomic.Bool   // one of them has the turn

	// Guarded by turn.
	closed     bool
	weights    weights
	parts      map[closer]struct{}
	screenMode string
	screenBits int // that every pass reads of a copy; 0: chosen
}

// closer is a loaded part; free gives back what it holds, with turn held.
type closer interface{ free() }

var _ device.Device = (*cpuDevice)(nil)

func newDevice(name, tier, screening string, workers int) *cpuDevice {
	d := &cpuDevice{
		info:  describe(name, tier, workers),
		team:  newTeam(name, workers),
		turn:  semaphore.NewWeighted(1),
		parts: map[closer]struct{}{},
	}
	d.setScreening(screening)
	d.pool.ledger = &d.ledger
	d.weights.device, d.weights.ledger, d.weights.mapped = name, &d.ledger, map[*gguf.Tensor]int{}
	d.weights.each = func(n int, fn func(lo, hi int)) error {
		each := task{do: func(_, lo, hi int) { fn(lo, hi) }}
		return d.team.do(context.Background(), func(context.Context) error { return d.team.Run(n, grain(n, 1, workers), &each) })
	}
	d.work.init(d)
	return d
}

// Info describes the processor and the team.
func (d *cpuDevice) Info() device.Info { return d.info }

// Ledger counts mapped and decoded weights, KV pages as they are first
// written, and activation buffers.
func (d *cpuDevice) Ledger() *device.Ledger { return &d.ledger }

// Import takes activations over. Those in host memory of any CPU device are
// returned as they are: their buffer goes back to its own pool when released.
// Others are copied and released.
func (d *cpuDevice) Import(ctx context.Context, x device.Hidden) (device.Hidden, error) {
	h, err := d.adopt(ctx, x)
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (d *cpuDevice) adopt(ctx context.Context, x device.Hidden) (*hidden, error) {
	if h, ok := x.(*hidden); ok {
		if h.released.Load() {
			return nil, &device.BatchError{Reason: "activations used after they were released"}
		}
		return h, nil
	}
	defer x.Release()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cpu: import of activations: %w", err)
	}
	rows, width := x.Shape()
	h := newHidden(&d.pool, rows, width)
	if err := x.Host(h.data); err != nil {
		h.Release()
		return nil, fmt.Errorf("cpu: import of activations: %w", err)
	}
	return h, nil
}

// Close waits for the call that works, frees every part and ends the workers.
// Handles that are still out may be released afterwards.
func (d *cpuDevice) Close() error {
	if !d.hold() {
		return nil // closed before
	}
	defer d.turn.Release(1)
	d.closed = true
	d.team.Close()
	for p := range d.parts {
		p.free()
	}
	clear(d.parts)
	d.work.free()
	d.pool.close()
	return nil
}

// acquire waits for the device in order of arrival and returns the moment it
// was given. The caller releases turn unless there is an error.
func (d *cpuDevice) acquire(ctx context.Context) (time.Time, error) {
	if err := d.turn.Acquire(ctx, 1); err != nil {
		return time.Time{}, fmt.Errorf("cpu: waiting for %s: %w", d.info.Name, err)
	}
	if d.closed {
		d.turn.Release(1)
		return time.Time{}, fmt.Errorf("cpu: %s: %w", d.info.Name, device.ErrClosed)
	}
	return time.Now(), nil
}

// hold waits for the device however long it takes; false means that it was
// closed. The caller releases turn when it is true.
func (d *cpuDevice) hold() bool {
	_, err := d.acquire(context.Background())
	return err == nil
}

// begin is acquire for a call to a part, which must still be loaded.
func (d *cpuDevice) begin(ctx context.Context, p closer) (time.Time, error) {
	start, err := d.acquire(ctx)
	if err != nil {
		return start, err
	}
	if _, ok := d.parts[p]; !ok {
		d.turn.Release(1)
		return start, fmt.Errorf("cpu: part on %s: %w", d.info.Name, device.ErrClosed)
	}
	d.calls.Add(1)
	d.working.Store(true)
	return start, nil
}

// end ends what begin began, with nothing of the call left behind, and tells done, if any, of the interval.
func (d *cpuDevice) end(start time.Time, done device.Worked) {
	now := time.Now()
	d.work.settle()
	d.working.Store(false)
	d.turn.Release(1)
	if done != nil {
		done(start, now)
	}
}

// load runs fn with the device held. What fn took is given back when it fails;
// otherwise the part belongs to the device until it is closed.
func load[P closer](ctx context.Context, d *cpuDevice, what string, p P, fn func(P) error) (P, error) {
	var none P
	if _, err := d.acquire(ctx); err != nil {
		return none, err
	}
	defer d.turn.Release(1)
	if err := fn(p); err != nil {
		p.free()
		return none, fmt.Errorf("cpu: loading %s: %w", what, err)
	}
	d.parts[p] = struct{}{}
	return p, nil
}

// unload frees a part once.
func (d *cpuDevice) unload(p closer) error {
	if !d.hold() {
		return nil // the device freed it when it was closed
	}
	defer d.turn.Release(1)
	if _, ok := d.parts[p]; ok {
		delete(d.parts, p)
		d.team.settle() // a worker that is late may still read the weights
		d.work.forget()
		p.free()
	}
	return nil
}
