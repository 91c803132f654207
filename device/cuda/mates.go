//go:build cuda

package cuda

import (
	"sync"
	"sync/atomic"

	"tritflow/device/cuda/driver"
)

// mates counts the devices of this process that are open on each GPU, by its number.
var mates sync.Map

func matesOn(ordinal int) *atomic.Int32 {
	n, _ := mates.LoadOrStore(ordinal, new(atomic.Int32))
	return n.(*atomic.Int32)
}

// sole tells whether nobody else starts kernels whose blocks wait for each other. Such a kernel needs all its
// blocks at work at once: alone it has them, since it has no more than the GPU takes, and can be there before the kernel before it
// has ended; two that had half of the multiprocessors each would wait for ever, so that these ask the driver to have all or none.
func (g *gpu) sole() bool { return g.mates.Load() == 1 && !g.props.Shared }

// runTogether starts such a kernel. On the queue.
func (g *gpu) runTogether(k *kernel, blocks, threads, shared int, args structure) error {
	k.together = !g.sole()
	return g.fail("decoding", k.run(g.stream, driver.Dim{X: blocks}, threads, shared, !k.together, args))
}
