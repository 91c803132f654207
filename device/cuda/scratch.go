//go:build cuda

package cuda

import (
	"math/bits"

	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// scratchSizes are the largest widths among the blocks of a part, in values a row.
type scratchSizes struct {
	input, qkv, queries, att, ffn, heads, valueDim int
	real                                           bool // some layer reads float32
	apart                                          bool // some gate and up are computed apart
}

// fit takes a block in: real says that one of its layers reads float32, apart that its gate and
// up are.
func (z *scratchSizes) fit(g *graph.Block, real, apart bool) {
	queries, keys, values := widths(g)
	z.input = max(z.input, g.Hidden, g.FFN, g.Heads*g.ValueDim)
	z.qkv = max(z.qkv, queries+keys+values)
	z.queries = max(z.queries, queries)
	z.att = max(z.att, g.Heads*g.ValueDim)
	z.ffn = max(z.ffn, g.FFN)
	z.heads, z.valueDim = max(z.heads, g.Heads), max(z.valueDim, g.ValueDim)
	z.real, z.apart = z.real || real, z.apart || apart
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

// chunksOf is for how many chunks there is room where so many positions are seen: a power of
// two, so that graphs serve many steps.
func chunksOf(positions int) int {
	return 1 << bits.Len(uint(max(ceilDiv(positions, positionsOfChunk), 1)-1))
}

// place makes room for a step. On the queue.
func (z *scratchSizes) place(g *gpu, t *tables) (space, error) {
	sp := space{chunks: chunksOf(t.longest)}
	err := g.scratch.place(z.parts(&sp, t.rows, t.nFew))
	return sp, err
}

// parts are the pieces of a step of n rows, few of which go the way of decoding.
func (z *scratchSizes) parts(sp *space, n, few int) []sized {
	parts := []sized{
		{&sp.base, 0},
		{&sp.q, codesRoom(n, z.input)}, {&sp.s, 4 * n}, {&sp.sum, 4 * n},
		{&sp.qkv, 4 * n * z.qkv}, {&sp.queries, 4 * n * z.queries}, {&sp.att, 4 * n * z.att}, {&sp.gate, 4 * n * z.ffn},
		{&sp.most, 4 * few * z.heads * sp.chunks}, {&sp.total, 4 * few * z.heads * sp.chunks},
		{&sp.parts, 4 * few * z.heads * sp.chunks * z.valueDim},
	}
	if z.real {
		parts = append(parts, sized{&sp.norm, 4 * n * z.input})
	}
	if z.apart {
		parts = append(parts, sized{&sp.both, 8 * n * z.ffn})
	}
	return parts
}
