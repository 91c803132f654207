//go:build cuda

package cuda

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// Import brings activations to this GPU: those of another one by a copy from GPU to GPU
// that only the two streams wait for, others through the host.
func (g *gpu) Import(ctx context.Context, x device.Hidden) (device.Hidden, error) {
	return g.adopt(ctx, x)
}

func (g *gpu) adopt(ctx context.Context, x device.Hidden) (*hidden, error) {
	h, ok := x.(*hidden)
	if ok && h.g == g {
		if h.released.Load() {
			return nil, &device.BatchError{Reason: "activations used after they were released"}
		}
		return h, nil
	}
	defer x.Release()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cuda: import of activations: %w", err)
	}
	rows, width := x.Shape()
	to, err := g.newHidden(rows, width)
	if err != nil {
		return nil, err
	}
	if ok {
		err = to.copyFrom(h)
	} else {
		err = to.read(x)
	}
	if err != nil {
		to.Release()
		return nil, fmt.Errorf("cuda: import of activations: %w", err)
	}
	return to, nil
}

// read copies values that are in host memory or reachable through it.
func (h *hidden) read(x device.Hidden) error {
	n := h.rows * h.width
	t := &tables{words: make([]int32, n+h.rows)}
	values := unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(t.words))), n)
	if err := x.Host(values); err != nil {
		return err
	}
	for i := range h.rows {
		t.words[n+i] = -1 // the bits of fine
	}
	if n == 0 {
		return nil
	}
	return h.g.queue.post(func() {
		at, err := h.g.upload(t)
		if err == nil {
			err = h.g.fail("importing activations", h.g.stream.CopyAsync(h.values(), at, hiddenBytes(h.rows, h.width)))
		}
		h.err = err
	})
}

// copyFrom copies from another GPU, or from another stream of this one. from belongs to
// its own GPU again when its stream has waited for the copy.
func (h *hidden) copyFrom(from *hidden) error {
	if from.released.Load() {
		return &device.BatchError{Reason: "activations used after they were released"}
	}
	if h.rows == 0 {
		return nil
	}
	src, dst := from.g, h.g
	there := make(chan marked, 1)
	err := src.queue.post(func() {
		m := marked{err: from.err}
		if m.err == nil {
			m.err = from.own()
		}
		if m.err == nil {
			m = src.record()
		}
		there <- m
	})
	if err != nil {
		return err
	}
	copied := make(chan marked, 1)
	err = dst.queue.post(func() {
		m := <-there
		if m.err == nil {
			m.err = dst.fail("waiting for another GPU", m.pass(dst))
		}
		if m.err == nil {
			m.err = dst.peers(src)
		}
		if m.err == nil {
			m.err = dst.fail("copying from another GPU", dst.stream.CopyPeerAsync(h.values(), dst.ctx, from.values(), src.ctx, hiddenBytes(h.rows, h.width)))
		}
		h.err = m.err
		copied <- dst.record()
	})
	if err != nil {
		return err
	}
	// The source's stream goes on, past its next use of the buffer, when the copy is done. If it cannot be made to wait, what
	// is copied may be the next use's.
	var waiting error
	err = src.queue.post(func() {
		m := <-copied
		if waiting = m.err; waiting == nil {
			waiting = src.fail("waiting for a copy", m.pass(src))
		}
	})
	return errors.Join(err, waiting)
}

// marked is a point in a stream, for another one to wait for.
type marked struct {
	event driver.Event
	err   error
}

// record marks where the stream is now. On the queue.
func (g *gpu) record() marked {
	e, err := g.ctx.NewEvent(false)
	if err == nil {
		if err = e.Record(g.stream); err != nil {
			err = errors.Join(err, e.Destroy())
		}
	}
	return marked{e, g.fail("marking the stream", err)}
}

// pass lets g's stream wait for the mark, of which nothing is needed after that. On g's queue.
func (m *marked) pass(g *gpu) error {
	return errors.Join(g.stream.Wait(m.event), m.event.Destroy())
}

// peers lets this GPU reach the memory of another one directly, where the machine can: else the driver copies through
// the host.
func (g *gpu) peers(other *gpu) error {
	if g.reached[other.props.Ordinal] || g.props.Ordinal == other.props.Ordinal {
		return nil
	}
	can, err := g.ctx.CanAccess(other.ctx)
	if err == nil && can {
		err = g.ctx.EnablePeer(other.ctx)
	}
	if driver.Lost(err) {
		return g.fail("reaching another GPU", err)
	}
	g.reached[other.props.Ordinal] = true
	return nil
}
