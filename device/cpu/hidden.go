package cpu

import (
	"fmt"
	"sync/atomic"

	"tritflow/device"
)

// hidden is rows × width float32 values in host memory, computed when the call
// that returned it returns.
type hidden struct {
	home        *pool // where the buffer goes back to
	data        []float32
	rows, width int
	released    atomic.Bool
}

var _ device.Hidden = (*hidden)(nil)

func newHidden(home *pool, rows, width int) *hidden {
	h := reuse(home, &home.hiddens)
	h.home, h.data, h.rows, h.width = home, home.get(rows*width), rows, width
	h.released.Store(false)
	return h
}

// Host copies the values to dst.
func (h *hidden) Host(dst []float32) error {
	if h.released.Load() {
		return &device.BatchError{Reason: "activations read after they were released"}
	}
	if len(dst) < h.rows*h.width {
		return &device.BatchError{Reason: fmt.Sprintf("activations [%d, %d] do not fit a destination of %d values", h.rows, h.width, len(dst))}
	}
	copy(dst, h.data[:h.rows*h.width])
	return nil
}

// Shape is [rows, hidden].
func (h *hidden) Shape() (rows, width int) { return h.rows, h.width }

// Release gives buffer and handle back to the pool they came from; once is
// enough, and more before the device's next batch does no harm.
func (h *hidden) Release() {
	if h.released.CompareAndSwap(false, true) {
		h.home.put(h.data)
		h.data = nil
		keep(h.home, &h.home.hiddens, h)
	}
}
