package cpu

import (
	"sync"
	"unsafe"

	"tritflow/device"
)

// pool recycles float32 buffers of batches in flight and counts them in the
// ledger from the moment they are made until they are dropped. It is safe for
// concurrent use: a buffer is often released by a stage of another device.
type pool struct {
	ledger *device.Ledger
	mu     sync.Mutex
	free   [][]float32
	closed bool

	// Handles that were released, to be used again.
	hiddens []*hidden
	logits  []*logits
}

// get returns a buffer of n values with any contents.
func (p *pool) get(n int) []float32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, b := range p.free {
		if cap(b) >= n && (best < 0 || cap(b) < cap(p.free[best])) {
			best = i
		}
	}
	if best < 0 {
		// One that turned out too small makes room, so that growing batches
		// leave no heap of outgrown buffers behind.
		if last := len(p.free) - 1; last >= 0 {
			p.drop(p.free[last])
			p.free = p.free[:last]
		}
		p.ledger.Add(device.Activations, bytesOf[float32](n))
		return make([]float32, n)
	}
	b := p.free[best][:n]
	last := len(p.free) - 1
	p.free[best] = p.free[last]
	p.free = p.free[:last]
	return b
}

// put takes a buffer of get back; after close it is dropped at once.
func (p *pool) put(b []float32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.drop(b)
		return
	}
	p.free = append(p.free, b)
}

// close drops the free buffers; those still in use are dropped when they come back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, b := range p.free {
		p.drop(b)
	}
	p.free, p.hiddens, p.logits = nil, nil, nil
}

// reuse gives a handle of a list of the pool, or a new one.
func reuse[T any](p *pool, list *[]*T) *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(*list) - 1
	if last < 0 {
		return new(T)
	}
	h := (*list)[last]
	*list = (*list)[:last]
	return h
}

// keep takes a handle back into its list.
func keep[T any](p *pool, list *[]*T, h *T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		*list = append(*list, h)
	}
}

// resized is s with n values of any contents.
func resized[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	return make([]T, n)
}

func (p *pool) drop(b []float32) {
	p.ledger.Add(device.Activations, -bytesOf[float32](cap(b)))
}

func bytesOf[T any](n int) int64 {
	var v T
	return int64(n) * int64(unsafe.Sizeof(v))
}

// grow returns s with length n, its contents lost when it had to be replaced;
// the growth is counted as activations.
func grow[T any](l *device.Ledger, s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	l.Add(device.Activations, bytesOf[T](n-cap(s)))
	return make([]T, n)
}
