//go:build cuda

package cuda

import (
	"errors"

	"tritflow/device/cuda/driver"
)

// graphs keeps the kernels of a step as CUDA graphs, by the shape of the step: one call
// starts them all. What changes from step to step (tokens, positions, pages) lies in the
// tables, at the same place each time.
type graphs struct {
	moved int // g.moved when they were made
	made  map[graphKey]*driver.Exec
	seen  map[graphKey]bool
}

// graphKey is all that a graph's kernels know of a step.
type graphKey struct {
	rows, chunks int
	cluster      *clusterKernel // of the first block, where it has one
	tables       driver.Ptr
	values       driver.Ptr
	space        driver.Ptr
}

// mostGraphs bounds the graphs of a part; each takes some memory of the driver.
const mostGraphs = 64

// run starts a step's work: from a graph if the shape was met before, and with that kernel for clusters. On the queue.
func (c *graphs) run(g *gpu, s *step, cluster *clusterKernel, work func() error) error {
	if !s.tables.decodeAll || s.tables.rows > fewMost {
		return work()
	}
	if c.moved != g.moved || len(c.made) >= mostGraphs {
		g.drain()
		c.drop(g)
	}
	if c.made == nil {
		c.made, c.seen, c.moved = map[graphKey]*driver.Exec{}, map[graphKey]bool{}, g.moved
	}
	key := graphKey{s.tables.rows, s.space.chunks, cluster, s.at, s.h.values(), s.space.base}
	if e := c.made[key]; e != nil {
		return g.fail("starting a graph", e.Launch(g.stream))
	}
	if !c.seen[key] {
		c.seen[key] = true
		return work()
	}
	if err := g.stream.BeginCapture(); err != nil {
		return g.fail("capturing", err)
	}
	werr := work()
	gr, err := g.stream.EndCapture()
	defer gr.Destroy() //nolint:errcheck // the executable graph is what is kept
	if werr != nil || err != nil {
		return errors.Join(werr, g.fail("capturing", err))
	}
	e, err := gr.Instantiate()
	if err != nil {
		return g.fail("instantiating a graph", err)
	}
	c.made[key] = &e
	return g.fail("starting a graph", e.Launch(g.stream))
}

// drop destroys all graphs, of which none may be at work.
func (c *graphs) drop(g *gpu) {
	for _, e := range c.made {
		g.fail("destroying a graph", e.Destroy()) //nolint:errcheck // remembered
	}
	c.made, c.seen = nil, nil
}
