//go:build cuda

package cuda

import (
	"fmt"

	"tritflow/device/cuda/driver"
)

// batchRows are the rows that the kernels of ternary_batch.cu take at most.
var batchRows = [...]int{32, 48, 64}

// What those kernels are made of: tiles that a warpgroup multiplies (a quad), warpgroups and
// chunks of the inputs that a block has at most, bytes that a warp takes of eight rows of a tile.
const (
	tilesOfQuad = 4
	batchGroups = 4
	batchChunks = 64
	sumsOfTile  = 512
)

// batchFrom is from how many rows ternary_batch is the better kernel (BenchmarkBlock).
const batchFrom = 17

// cut is how a layer is cut for ternary_batch: blocks with so many quads, whose other warpgroups
// and parts in a cluster share the inputs. rows is for how many the activations have room; more come
// in turns.
type cut struct {
	k             *kernel
	rows, turns   int
	quads, parts  int
	groups        int // warpgroups of a block
	each          int // chunks of one
	blocks, bytes int
	work          int // see cutFor
}

// cutFor says how ternary_batch multiplies; false where another kernel is better, or a cluster
// would not hold the activations.
func (g *gpu) cutFor(t *ternary, rows int) (best cut, ok bool) {
	if !g.kern.exact || rows < batchFrom {
		return cut{}, false
	}
	class := 0
	for class < len(batchRows)-1 && batchRows[class] < rows {
		class++
	}
	for _, parts := range [...]int{1, 2, 4, 8} {
		for quads := 1; quads <= batchGroups; quads *= 2 {
			c := cut{k: &g.kern.batch[class], rows: batchRows[class], turns: ceilDiv(rows, batchRows[class]), quads: quads, parts: parts}
			if !c.fit(t, g.kern.batchMost) {
				continue
			}
			// In chunks that a multiprocessor multiplies in turn; the last two numbers are what the
			// sums' way and a block's start and end come to (BenchmarkBlock).
			c.work = ceilDiv(c.blocks*c.turns, g.props.SMs) * (quads*ceilDiv(t.chunks, parts) + 2*parts + 10)
			if !ok || c.work < best.work {
				best, ok = c, true
			}
		}
	}
	return best, ok
}

// fit finds out the rest of a cut whose quads and parts are known; false where there is not so
// much to cut, or a block does not hold it.
func (c *cut) fit(t *ternary, most int) bool {
	// More than four that share a tile have more to send than to multiply.
	split := max(1, min(batchGroups/c.quads, 4/c.parts))
	chunks := ceilDiv(t.chunks, c.parts)
	c.groups, c.each = split*c.quads, ceilDiv(chunks, split)
	sharers := split * c.parts
	own := ceilDiv(c.rows/8, sharers)
	c.blocks = ceilDiv(ceilDiv(t.tiles, tilesOfQuad), c.quads) * c.parts
	c.bytes = chunks*c.rows*chunkCols + c.groups*tilesOfQuad*sumsOfTile*(max(c.each, own)+own*(sharers-1))
	return c.parts <= t.chunks && chunks <= batchChunks && c.bytes <= most
}

// mulBatch multiplies a few rows.
func (g *gpu) mulBatch(t *ternary, c cut, in input, to result) error {
	o := t.out(to)
	c.k.cluster = c.parts
	return g.fail("multiplying", c.k.run(g.stream, driver.Dim{X: c.blocks, Y: c.turns}, 128*c.groups, c.bytes, true,
		t.weights, in.q, in.s, in.sum, in.rows, t.chunks, t.tiles, c.quads, c.each, to.epilogue, &o))
}

// coded is how the codes of so many rows lie that a layer is going to read (Coded of
// kernels/norm.cuh): one row behind the other, in the lanes of ternary_few, or in the units of ternary_batch or ternary_wide.
func (g *gpu) coded(l *layer, rows, cols int) int {
	shape := codesOf(cols)
	for _, gr := range l.groups {
		if gr.t == nil {
			continue
		}
		switch w := g.way(gr.t, rows); {
		case w.cut != nil:
			shape |= w.cut.rows << 32
		case w.wide != nil:
			shape |= wideRows << 32
		case w.tiles > 0 && rows <= lanesMost:
			shape |= ceilDiv(rows, 8) * 8 << 32
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
			return most * codesOf(cols)
		}
	}
	if rows <= lanesMost {
		rows = ceilDiv(rows, 8) * 8
	} else if rows > fewMost {
		rows = ceilDiv(rows, wideRows) * wideRows
	}
	return rows * codesOf(cols)
}

func batchName(rows int) string { return fmt.Sprintf("ternary_batch%d", rows) }
