//go:build cuda

package cuda

import (
	"fmt"

	"tritflow/device/cuda/driver"
)

// batchRows are the rows that the kernels of ternary_batch.cu take at most, batchTiles the
// tiles of a block, the smaller of which has more activations under way.
var (
	batchRows  = [...]int{32, 64}
	batchTiles = [...]int{4, 8}
)

// cut is how a layer is cut for ternary_batch: blocks in clusters of size, which share tiles.
type cut struct {
	k                    *kernel
	blocks, size, shared int
}

// sumsOfTile are the bytes that all warps' sums of a tile take.
const sumsOfTile = 16 * tileBytes

// batchFrom is from how many rows ternary_batch is the better kernel. A layer so tall that a
// block alone would have more tiles than the smaller kernel takes goes in clusters of two
// (BenchmarkBlock).
const batchFrom = 17

// cutFor says how ternary_batch multiplies; false where another kernel is better, or no block
// would hold its weights.
func (g *gpu) cutFor(t *ternary, rows int) (cut, bool) {
	if !g.kern.exact || rows < batchFrom || rows > batchRows[len(batchRows)-1] {
		return cut{}, false
	}
	c := cut{size: 1}
	if ceilDiv(t.tiles, g.props.SMs) > batchTiles[0] && t.chunks > 1 {
		c.size = 2
	}
	class, kind := 0, 0
	for batchRows[class] < rows {
		class++
	}
	clusters := min(g.props.SMs/c.size, t.tiles)
	for ceilDiv(t.tiles, clusters) > batchTiles[len(batchTiles)-1] {
		clusters *= 2
	}
	tiles := ceilDiv(t.tiles, clusters)
	for batchTiles[kind] < tiles {
		kind++
	}
	c.k, c.blocks = &g.kern.batch[class][kind], clusters*c.size
	c.shared = max(batchTiles[kind]*sumsOfTile, tiles*ceilDiv(t.chunks, c.size)*tileBytes)
	return c, c.shared <= g.kern.batchMost
}

// mulBatch multiplies a few rows.
func (g *gpu) mulBatch(t *ternary, c cut, in input, to result) error {
	o := t.out(to)
	c.k.cluster = c.size
	return g.fail("multiplying", c.k.run(g.stream, driver.Dim{X: c.blocks}, 256, c.shared, true,
		t.weights, in.q, in.s, in.sum, in.rows, t.chunks, t.tiles, to.epilogue, &o))
}

func batchName(rows, tiles int) string { return fmt.Sprintf("ternary_batch%d_%d", rows, tiles) }
