//go:build cuda

package cuda

import (
	"math/bits"

	"tritflow/device/cuda/driver"
)

// scratchSizes are the largest widths among the blocks of a part, in values a row.
type scratchSizes struct {
	input, qkv, queries, att, ffn, heads, valueDim int
	real                                           bool // some layer reads float32
	apart                                          bool // some gate and up are computed apart
}

func (z *scratchSizes) fit(b *block) {
	g := &b.spec
	queries, keys, values := widths(g)
	z.input = max(z.input, g.Hidden, g.FFN, g.Heads*g.ValueDim)
	z.qkv = max(z.qkv, queries+keys+values)
	z.queries = max(z.queries, queries)
	z.att = max(z.att, g.Heads*g.ValueDim)
	z.ffn = max(z.ffn, g.FFN)
	z.heads, z.valueDim = max(z.heads, g.Heads), max(z.valueDim, g.ValueDim)
	for _, l := range []*layer{b.qkv, b.o, b.expand, b.down} {
		z.real = z.real || l.real
	}
	z.apart = z.apart || !b.product
}

// space is scratch memory of a step, which all blocks use in turn. All activations in it
// are float32 [rows, width] but q (int8) and queries (as the cache wants them).
type space struct {
	base                                     driver.Ptr
	norm, q, s, sum, qkv, queries, att, gate driver.Ptr
	both                                     driver.Ptr // gate and up side by side
	most, total, parts                       driver.Ptr // of the softmax of each chunk of positions
	chunks                                   int        // room for so many chunks a row and head
}

// positionsOfChunk is how many positions decode attention works on at a time.
const positionsOfChunk = 64

// place makes room for a step. The number of chunks is rounded up to a power of two, so that
// graphs serve many steps. On the queue.
func (z *scratchSizes) place(g *gpu, t *tables) (space, error) {
	sp := space{chunks: 1 << bits.Len(uint(max(ceilDiv(t.longest, positionsOfChunk), 1)-1))}
	n := t.rows
	parts := []sized{
		{&sp.base, 0},
		{&sp.q, n * ceilDiv(z.input, chunkCols) * chunkCols}, {&sp.s, 4 * n}, {&sp.sum, 4 * n},
		{&sp.qkv, 4 * n * z.qkv}, {&sp.queries, 4 * n * z.queries}, {&sp.att, 4 * n * z.att}, {&sp.gate, 4 * n * z.ffn},
		{&sp.most, 4 * t.nFew * z.heads * sp.chunks}, {&sp.total, 4 * t.nFew * z.heads * sp.chunks},
		{&sp.parts, 4 * t.nFew * z.heads * sp.chunks * z.valueDim},
	}
	if z.real {
		parts = append(parts, sized{&sp.norm, 4 * n * z.input})
	}
	if z.apart {
		parts = append(parts, sized{&sp.both, 8 * n * z.ffn})
	}
	return sp, g.scratch.place(parts)
}
