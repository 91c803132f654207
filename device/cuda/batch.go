//go:build cuda

package cuda

import (
	"fmt"
	"os"

	"tritflow/device/cuda/driver"
)

// batchRows are the rows that the kernels of ternary_batch.cu take at most.
var batchRows = [...]int{16, 32, 64}

// What those kernels are made of: warpgroups of a block, tiles that a warpgroup multiplies
// (a quad), chunks of the inputs that a block takes at most.
const (
	batchGroups = 2
	tilesOfQuad = 4
	batchChunks = 64
)

// batchFrom is from how many rows ternary_batch is the better kernel (BenchmarkBlock).
const batchFrom = 9

// mostCluster is how many blocks a cluster has on every card that has clusters.
const mostCluster = 8

// cut is how a layer is cut for ternary_batch: blocks with so many quads, in clusters of
// parts of the inputs × blocks that share the activations of such a part. rows is for how
// many the activations have room.
type cut struct {
	k                          *kernel
	blocks, quads              int
	parts, share, shared, rows int
}

// cutFor says how ternary_batch multiplies; false where another kernel is better, or a cluster
// would not hold the activations.
func (g *gpu) cutFor(t *ternary, rows int) (cut, bool) {
	if !g.kern.exact || rows < batchFrom || rows > batchRows[len(batchRows)-1] {
		return cut{}, false
	}
	class := 0
	for batchRows[class] < rows {
		class++
	}
	c := cut{k: &g.kern.batch[class], rows: batchRows[class], quads: 1, share: 1}
	chunkBytes := c.rows * chunkCols
	all := ceilDiv(t.tiles, tilesOfQuad)
	c.parts = ceilDiv(t.chunks, min(batchChunks, g.kern.batchMost/chunkBytes))
	if all > g.props.SMs {
		c.quads = batchGroups
		if c.parts == 1 {
			c.share = 2
		}
	} else {
		c.parts = max(c.parts, min(g.props.SMs/all, mostCluster, t.chunks))
	}
	var x [3]int
	if n, _ := fmt.Sscanf(os.Getenv("CUT"), "%d,%d,%d", &x[0], &x[1], &x[2]); n == 3 {
		c.quads, c.parts, c.share = x[0], x[1], x[2]
	}
	c.blocks = ceilDiv(all, c.quads*c.share) * c.share * c.parts
	c.shared = max(ceilDiv(t.chunks, c.parts)*chunkBytes, batchGroups*tilesOfQuad*c.rows/8*tileBytes)
	return c, c.shared <= g.kern.batchMost && c.parts <= mostCluster
}

// mulBatch multiplies a few rows.
func (g *gpu) mulBatch(t *ternary, c cut, in input, to result) error {
	o := t.out(to)
	c.k.cluster = c.parts * c.share
	return g.fail("multiplying", c.k.run(g.stream, driver.Dim{X: c.blocks}, 128*batchGroups, c.shared, true,
		t.weights, in.q, in.s, in.sum, in.rows, t.chunks, t.tiles, c.quads, c.share, to.epilogue, &o))
}

// coded is how the codes of so many rows lie that a layer is going to read (Coded of
// kernels/norm.cuh): one row behind the other, or in the units of ternary_batch.
func (g *gpu) coded(l *layer, rows, cols int) int {
	shape := codesOf(cols)
	for _, gr := range l.groups {
		if gr.t == nil {
			continue
		}
		if c, ok := g.cutFor(gr.t, rows); ok {
			shape |= c.rows << 32
		}
	}
	return shape
}

// codesOf is how many codes a row of so many values has.
func codesOf(cols int) int { return ceilDiv(cols, chunkCols) * chunkCols }

// codesRoom is what the codes of so many rows take at most.
func codesRoom(rows, cols int) int {
	for _, most := range batchRows {
		if rows >= batchFrom && rows <= most {
			rows = most
		}
	}
	return rows * codesOf(cols)
}

func batchName(rows int) string { return fmt.Sprintf("ternary_batch%d", rows) }
