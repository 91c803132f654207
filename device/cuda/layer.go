//go:build cuda

package cuda

import (
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
		w, err := h.uniform(g)
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
	a, err := h.uniform(gate)
	if err != nil {
		return nil, false, err
	}
	b, err := h.uniform(up)
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
}

// input is activations in the forms that layers read.
type input struct {
	rows, cols int
	stride     int        // of a row of q in bytes
	x          driver.Ptr // float32 [rows, cols], 0 where nobody wants it
	q, s, sum  driver.Ptr // int8 [rows, stride], scale and sum of each row
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

// mulTernary picks the kernel by the number of rows. All give the same bits.
func (g *gpu) mulTernary(t *ternary, in input, to result) error {
	o := &g.out
	*o = out{uint64(to.dst), uint64(to.ld), uint64(t.columns), uint64(t.scale), uint64(t.factor), uint64(t.bias),
		uint64(to.bad), uint64(to.stage), uint64(to.act)}
	if in.rows > fewMost {
		grid := driver.Dim{X: ceilDiv(in.rows, manyRows), Y: ceilDiv(t.tiles, manyTiles)}
		return g.kern.ternaryMany.run(g.stream, grid, 128, 0, true,
			t.weights, in.q, in.s, in.sum, in.rows, t.chunks, t.tiles, to.epilogue, o)
	}
	for _, f := range g.kern.few() {
		if in.rows <= f.rows {
			return f.k.run(g.stream, driver.Dim{X: ceilDiv(t.tiles, f.tiles)}, 256, 0, true,
				t.weights, in.q, in.s, in.sum, in.rows, t.chunks, to.epilogue, o)
		}
	}
	panic("unreachable")
}

// Sizes of the blocks of ternary_many.
const (
	fewMost   = 64
	manyRows  = 64
	manyTiles = 8
)

// mulDense multiplies with weights that are not ternary.
func (g *gpu) mulDense(gr *group, in input, to result) error {
	o := realOut{uint64(to.dst), uint64(to.ld), uint64(gr.at), uint64(gr.mult), uint64(gr.add), uint64(to.bad), uint64(to.stage)}
	add := 0
	if to.epilogue == residual {
		add = 1
	}
	return g.fail("multiplying", g.kern.realMul.run(g.stream, driver.Dim{X: ceilDiv(gr.d.rows, realOutputs), Y: ceilDiv(in.rows, realRows)}, 256, 0, true,
		gr.d.mem.ptr, gr.d.kind, in.x, in.rows, gr.d.rows, gr.d.cols, add, &o))
}

// Sizes of the blocks of real_mul.
const realOutputs, realRows = 8, 8
