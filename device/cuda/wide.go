//go:build cuda

package cuda

import "tritflow/device/cuda/driver"

// wideRows are the rows of a block of ternary_wide.cu; its stages, of which it has so many at most,
// hold a chunk of their inputs.
const (
	wideRows   = 128
	wideStages = 12
	wideStage  = wideRows * chunkCols
)

// wideCut is how a layer is cut for ternary_wide.
type wideCut struct {
	warps, stages int // of a block
	work          int // in the unit of cut.work
}

// wideFor says how ternary_wide multiplies.
func (g *gpu) wideFor(t *ternary, rows int) wideCut {
	// Blocks of two quads fit twice on a multiprocessor, those of four read activations half as often.
	down, sms := ceilDiv(rows, wideRows), g.props.SMs
	blocks := func(quads int) int { return down * ceilDiv(t.tiles, quads*tilesOfQuad) }
	quads, room, turns := 4, g.kern.batchMost, ceilDiv(blocks(4), sms)
	if small := blocks(2); small <= sms || ceilDiv(small, 2*sms) < turns {
		quads, room, turns = 2, g.kern.batchMost/2, ceilDiv(small, 2*sms)
	}
	// A multiprocessor with two quads, and with four (BenchmarkBlock).
	work := turns * (9*t.chunks/4 + 40)
	if quads == 4 || blocks(2) > sms {
		work = turns * (7*t.chunks/2 + 50)
	}
	return wideCut{quads * tilesOfQuad, min(room/wideStage, wideStages), work}
}

// mulWide multiplies many rows. Blocks that came before the kernel before has ended would crowd on the
// multiprocessors that are free first.
func (g *gpu) mulWide(t *ternary, c wideCut, in input, to result) error {
	o := t.out(to)
	return g.fail("multiplying", g.kern.wide.run(g.stream, driver.Dim{X: ceilDiv(in.rows, wideRows), Y: ceilDiv(t.tiles, c.warps)}, 32*c.warps,
		c.stages*wideStage, false, t.weights, in.q, in.s, in.sum, in.rows, t.chunks, t.tiles, c.stages, to.epilogue, &o))
}
