//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// hidden is activations [rows, width] in float32 on a GPU, followed by one word a row
// that tells of the first value which was not finite (kernels/common.cuh). The values are
// there for whatever comes later in the GPU's stream.
type hidden struct {
	g           *gpu
	m           *memory
	rows, width int
	released    atomic.Bool

	// Used on the queue alone.
	err    error   // why the values never came
	embed  *embed  // whose values these are, of whole rows, and ...
	blocks *blocks // ... the one part that they went through; nil: none, or several
	given  *early  // they are those of a step that was begun early
}

var _ device.Hidden = (*hidden)(nil)

// fine is the word of a row whose values were all finite.
const fine = math.MaxUint32

func hiddenBytes(rows, width int) int64 { return int64(rows) * int64(4*width+4) }

// newHidden may be called from anywhere but the queue.
func (g *gpu) newHidden(rows, width int) (h *hidden, err error) {
	err = g.queue.do(func() error {
		h, err = g.hidden(rows, width)
		return err
	})
	return h, err
}

// hidden makes a handle with a buffer of its own. On the queue.
func (g *gpu) hidden(rows, width int) (*hidden, error) {
	m, err := g.pool.get(g, hiddenBytes(rows, width))
	if err != nil {
		return nil, err
	}
	return &hidden{g: g, m: m, rows: rows, width: width}, nil
}

// values and bad are the two parts of the buffer. While a step is given, rows are those that it
// was begun with.
func (h *hidden) values() driver.Ptr { return h.m.ptr }
func (h *hidden) bad() driver.Ptr    { return h.m.ptr.Offset(int64(4 * h.rows * h.width)) }

// Host copies the values to dst, waiting for them.
func (h *hidden) Host(dst []float32) error {
	if h.released.Load() {
		return &device.BatchError{Reason: "activations read after they were released"}
	}
	rows, width := h.Shape()
	n := rows * width
	if len(dst) < n {
		return &device.BatchError{Reason: fmt.Sprintf("activations [%d, %d] do not fit a destination of %d values", rows, width, len(dst))}
	}
	if n == 0 {
		return nil
	}
	return h.g.queue.do(func() error {
		if h.err != nil {
			return h.err
		}
		if err := h.own(); err != nil {
			return err
		}
		if err := h.g.stream.Synchronize(); err != nil {
			return h.g.fail("computing activations", err)
		}
		h.g.settle()
		return h.g.fail("reading activations", h.g.ctx.CopyOut(bytesOf(dst[:n]), h.values()))
	})
}

// Shape is [rows, hidden].
func (h *hidden) Shape() (rows, width int) {
	if h.given != nil {
		return len(h.given.taken), h.width
	}
	return h.rows, h.width
}

// Release gives the buffer back; once is enough and more does no harm.
func (h *hidden) Release() {
	if h.released.CompareAndSwap(false, true) {
		h.g.pool.put(h.m)
	}
}

// bytesOf views values as the bytes that they are in memory.
func bytesOf[T any](v []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(one)))
}
