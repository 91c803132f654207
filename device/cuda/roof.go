//go:build cuda

package cuda

import (
	"context"
	"fmt"

	"tritflow/device"
	"tritflow/gguf"
)

var _ device.Roofed = (*gpu)(nil)

// Hardware is the GPU by the driver's number, whatever the device is called.
func (g *gpu) Hardware() string { return fmt.Sprintf("%s:%d", kind, g.props.Ordinal) }

// Roof measures on the queue, with a stream of its own, when the device's has nothing left to do.
func (g *gpu) Roof(ctx context.Context) (roof device.Roof, err error) {
	if f := g.fault.Load(); f != nil {
		return roof, *f
	}
	err = g.queue.do(func() error {
		if err := g.stream.Synchronize(); err != nil {
			return g.fail("waiting for the stream", err)
		}
		var f device.Found
		if err := measured(ctx, g.ctx, g.props, &f); err != nil {
			return g.fail("measuring", err)
		}
		roof = device.Roof{Read: f.Read, Int8: f.Int8}
		return nil
	})
	return roof, err
}

// ReadBytes is the size of tiles with their scales, or of a dense matrix.
func (g *gpu) ReadBytes(l device.Layer) (n uint64, err error) {
	err = gguf.Guard(func() error {
		c, err := g.codec(l.Weight, l.Out, l.In)
		if err != nil {
			return err
		}
		_, bytes := denseSize(c, l.Out, l.In)
		if c.Ternary {
			weights, _, scales := ternarySizes(tilesOf(l.Out)*tileRows, ceilDiv(l.In, chunkCols))
			bytes = weights + scales
		}
		n = uint64(bytes)
		return nil
	})
	return n, err
}
