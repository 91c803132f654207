//go:build cuda

package cuda

import (
	"math"

	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// layer is linear layers that read the same input and write side by side: row i, output r of
// matrix p goes to dst[i*ld + at[p] + r]. Ternary ones are one group, others a group each.
type layer struct {
	groups        []group
	in            int
	ternary, real bool // what forms of the input are read
}

// group is one multiplication.
type group struct {
	t    *ternary
	d    *tensor
	at   int        // first column of a dense group
	add  driver.Ptr // its bias
	mult driver.Ptr // its factor
}

// layer loads matrices whose outputs go to the given columns.
func (h *holding) layer(ls []*graph.Linear, at []int) (*layer, error) {
	l := &layer{in: ls[0].In}
	var parts []stacked
	for i, g := range ls {
		w, err := h.g.uniform(g)
		if err != nil {
			return nil, err
		}
		if w != nil {
			parts = append(parts, stacked{g, w, at[i]})
			continue
		}
		d, err := h.realGroup(g, at[i])
		if err != nil {
			return nil, err
		}
		l.groups, l.real = append(l.groups, d), true
	}
	if len(parts) > 0 {
		t, err := h.ternary(parts, below(parts))
		if err != nil {
			return nil, err
		}
		l.groups, l.ternary = append(l.groups, group{t: t}), true
	}
	return l, nil
}

func (h *holding) realGroup(l *graph.Linear, at int) (g group, err error) {
	g.at = at
	if g.d, err = h.dense(l.Weight, l.Out, l.In); err != nil {
		return g, err
	}
	if g.mult, err = h.vector(l.Scale, 1); err != nil {
		return g, err
	}
	g.add, err = h.vector(l.Bias, l.Out)
	return g, err
}

// gates loads gate and up. Where both are ternary they are one group that gives their
// product at once; else they write side by side.
func (h *holding) gates(gate, up *graph.Linear) (l *layer, product bool, err error) {
	a, err := h.g.uniform(gate)
	if err != nil {
		return nil, false, err
	}
	b, err := h.g.uniform(up)
	if err != nil {
		return nil, false, err
	}
	if a == nil || b == nil || gate.Bias != nil || up.Bias != nil {
		l, err = h.layer([]*graph.Linear{gate, up}, []int{0, gate.Out})
		return l, false, err
	}
	t, err := h.ternary([]stacked{{gate, a, 0}, {up, b, 0}}, paired(gate.Out))
	if err != nil {
		return nil, false, err
	}
	return &layer{in: gate.In, ternary: true, groups: []group{{t: t}}}, true, nil
}

// epilogues of kernels/ternary.cuh.
const (
	store = iota
	residual
	gated
)

// result is where products go.
type result struct {
	dst      driver.Ptr
	ld       int
	epilogue int
	bad      driver.Ptr // of the residual stream
	stage    int        // as in note_bad of kernels/common.cuh
	act      int
	aside    int // bytes of shared memory that are left unused, where the kernel can (block.aside)
}

// input is activations in the forms that layers read.
type input struct {
	rows, cols int
	x          driver.Ptr // float32 [rows, cols], 0 where nobody wants it
	q, s, sum  driver.Ptr // int8 as gpu.coded says, scale and sum of each row
}

// mul multiplies. Kernels that follow another kernel may start while that ends.
func (g *gpu) mul(l *layer, in input, to result) error {
	for _, gr := range l.groups {
		var err error
		if gr.t != nil {
			err = g.mulTernary(gr.t, in, to)
		} else {
			err = g.mulDense(&gr, in, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// way is how a ternary layer is multiplied with so many rows. All give the same bits.
type way struct {
	k     *kernel
	tiles int // of a block, of the few-row kernels
	one   bool
	cut   *cut // of ternary_batch
	wide  *wideCut
}

// way picks the kernel by the number of rows.
func (g *gpu) way(t *ternary, rows int) way {
	c, batch := g.cutFor(t, rows)
	if g.kern.exact && rows > fewMost {
		if w := g.wideFor(t, rows); !batch || w.work < c.work {
			return way{k: &g.kern.wide, wide: &w}
		}
	}
	if batch {
		return way{k: c.k, cut: &c}
	}
	switch {
	case rows == 1 && g.fitsOne(t, oneInput{}):
		k, _ := g.oneKernel(t, oneInput{})
		return way{k: k, one: true}
	case rows > fewMost:
		return way{k: &g.kern.many}
	case rows > 32 && t.tiles > fullFrom:
		return way{k: &g.kern.full64, tiles: 2}
	case rows > 32:
		return way{k: &g.kern.few64, tiles: 2}
	case rows > 16:
		return way{k: &g.kern.few32, tiles: 2}
	}
	return g.wayOfFew(t, rows)
}

// wayOfFew picks among the kernels for up to 16 rows. Several tiles a block are better where all blocks are at work
// at once then, or fewer multiprocessors have two (BenchmarkBlock; measured on capability 9.0 alone).
func (g *gpu) wayOfFew(t *ternary, rows int) way {
	k, short, most := g.kern, t.chunks <= shortMost, rows > 8
	for _, c := range []struct {
		is    bool
		tiles int
		k     [2]*kernel // for up to 8 rows, for more
	}{
		{k.exact && short && t.tiles >= foursFrom, 4, [2]*kernel{&k.four8, &k.four16}},
		{k.exact && short && t.tiles >= twosFrom, 2, [2]*kernel{&k.two8, &k.two16}},
		{k.exact && !short && most && t.tiles <= 2*g.props.SMs, 2, [2]*kernel{1: &k.pair16}},
		{short, 1, [2]*kernel{&k.short8, &k.short16}},
		{most, 1, [2]*kernel{1: &k.few16}},
	} {
		if c.is && t.tiles%c.tiles == 0 {
			return way{k: c.k[min((rows-1)/8, 1)], tiles: c.tiles}
		}
	}
	return way{k: &k.few8, tiles: 1}
}

// mulTernary multiplies with quantized rows.
func (g *gpu) mulTernary(t *ternary, in input, to result) error {
	w := g.way(t, in.rows)
	switch {
	case w.one:
		return g.mulOne(t, oneInput{q: in.q, s: in.s, sum: in.sum}, to)
	case w.cut != nil:
		return g.mulBatch(t, *w.cut, in, to)
	case w.wide != nil:
		return g.mulWide(t, *w.wide, in, to)
	}
	o := t.out(to)
	if w.tiles == 0 {
		grid := driver.Dim{X: ceilDiv(in.rows, manyRows), Y: ceilDiv(t.tiles, manyTiles)}
		return g.fail("multiplying", w.k.run(g.stream, grid, 128, 0, true,
			t.weights, in.q, in.s, in.sum, in.rows, t.chunks, t.tiles, to.epilogue, &o))
	}
	aside := 0
	if w.k.spares {
		aside = to.aside
	}
	return g.fail("multiplying", w.k.run(g.stream, driver.Dim{X: ceilDiv(t.tiles, w.tiles)}, 256, aside, true,
		t.weights, in.q, in.s, in.sum, in.rows, t.chunks, to.epilogue, &o))
}

// Rows up to which ternary_few is the better kernel, and up to which it reads codes in lanes; chunks that its short kernels
// take, tiles from which two of its blocks should share a multiprocessor, and from which a block of the short ones should have
// four or two; sizes of the blocks of ternary_many.
const (
	fewMost   = 64
	lanesMost = 16
	shortMost = 24
	fullFrom  = 480
	foursFrom = 528
	twosFrom  = 200
	manyRows  = 64
	manyTiles = 8
)

func (t *ternary) out(to result) out {
	return out{uint64(to.dst), uint64(to.ld), uint64(t.columns), uint64(t.scale), uint64(t.factor), uint64(t.bias),
		uint64(to.bad), uint64(to.stage), uint64(to.act)}
}

// oneInput is a single row: x, to be normalized (norm nil: not) and quantized by the kernel
// itself, or, with x 0, the quantized row.
type oneInput struct {
	x         driver.Ptr
	cols      int
	norm      *norm
	q, s, sum driver.Ptr
	first     bool // no kernel of this part stands before it
}

// Numbers of tiles up to which a block of ternary_one.cu takes one or two, and shared
// memory that a block with several should not exceed.
const (
	oneTile, twoTiles = 200, 480
	oneRoom           = 72 << 10
)

// oneShared is the shared memory of a block with so many tiles: weights, and for a row
// that comes as it is its norm, itself and its codes.
func (g *gpu) oneShared(t *ternary, tiles int, in oneInput) int {
	bytes := tiles * t.chunks * tileBytes
	if in.x != 0 {
		bytes += 8*in.cols + t.chunks*chunkCols
	}
	return bytes
}

// fitsOne tells whether the kernels of ternary_one.cu take a row of so many values.
func (g *gpu) fitsOne(t *ternary, in oneInput) bool {
	return in.cols%4 == 0 && in.cols <= mostNarrow && g.oneShared(t, 1, in) <= g.kern.oneMost
}

// oneKernel is the kernel for a single row, and the tiles of a block.
func (g *gpu) oneKernel(t *ternary, in oneInput) (k *kernel, tiles int) {
	switch {
	case t.tiles > twoTiles && g.oneShared(t, 4, in) <= oneRoom:
		return &g.kern.one4, 4
	case t.tiles > oneTile && g.oneShared(t, 2, in) <= oneRoom:
		return &g.kern.one2, 2
	}
	return &g.kern.one1, 1
}

// mulOne multiplies with a single row.
func (g *gpu) mulOne(t *ternary, in oneInput, to result) error {
	o := t.out(to)
	row := oneRow{uint64(in.x), 0, uint64(in.cols), uint64(in.q), uint64(in.s), uint64(in.sum), 0}
	if in.norm != nil {
		row[1], row[6] = uint64(in.norm.weight), uint64(math.Float32bits(in.norm.eps))
	}
	k, tiles := g.oneKernel(t, in)
	return g.fail("multiplying", k.run(g.stream, driver.Dim{X: ceilDiv(t.tiles, tiles)}, 256, g.oneShared(t, tiles, in), !in.first,
		t.weights, &row, t.tiles, t.chunks, to.epilogue, &o))
}

// mulDense multiplies with weights that are not ternary.
func (g *gpu) mulDense(gr *group, in input, to result) error {
	o := realOut{uint64(to.dst), uint64(to.ld), uint64(gr.at), uint64(gr.mult), uint64(gr.add), uint64(to.bad), uint64(to.stage)}
	add, n := 0, gr.d.rows
	if to.epilogue == residual {
		add = 1
	}
	route := denseRoute(in.rows)
	threads, grid := 256, driver.Dim{X: ceilDiv(ceilDiv(n, 4), 8), Y: ceilDiv(in.rows, denseRoutes[route])}
	switch {
	case in.rows > 8:
		threads, grid = 512, driver.Dim{X: grid.Y, Y: ceilDiv(n, 32)}
	case in.rows > 4:
		threads, grid = 512, driver.Dim{X: 1, Y: ceilDiv(n, 64)}
	}
	return g.fail("multiplying", g.kern.dense[route][gr.d.kind].run(g.stream, grid, threads, 0, true,
		gr.d.mem.ptr, in.x, in.rows, n, gr.d.cols, add, &o))
}

// denseRoute picks among denseRoutes by the number of rows.
func denseRoute(rows int) int {
	switch {
	case rows > 4:
		return 2
	case rows > 1:
		return 1
	}
	return 0
}
