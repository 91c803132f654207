package cpu

import "context"

// Products whose linears each normalize their input in their own way
// (BitNet-embedding): one after the other, each with an input of its own, where
// usually one input serves all products that read it.

// separate is a linear at hand and where its outputs go.
type separate struct {
	linear *linear
	dst    []float32
	stride int
}

// anyPre tells whether linears need inputs of their own.
func anyPre(ls ...*linear) bool {
	for _, l := range ls {
		if l.pre != nil {
			return true
		}
	}
	return false
}

// projectApart computes queries, keys and values.
func (w *workspace) projectApart(ctx context.Context) error {
	b := w.block
	queries, keys, values := b.widths()
	stride, off := queries+keys+values, 0
	for _, l := range [...]*linear{b.q, b.k, b.v} {
		if err := w.mulApart(ctx, separate{l, w.qkv[off:], stride}); err != nil {
			return err
		}
		off += l.rows
	}
	return nil
}

// expandApart computes gate and up and combines them.
func (w *workspace) expandApart(ctx context.Context) error {
	b := w.block
	ffn := b.spec.FFN
	if err := w.mulApart(ctx, separate{b.gate, w.gate, ffn}); err != nil {
		return err
	}
	if err := w.mulApart(ctx, separate{b.up, w.up, ffn}); err != nil {
		return err
	}
	return w.runRows(ctx, &w.jobs.combine)
}

// mulApart multiplies the rows of w.norm, normalized once more.
func (w *workspace) mulApart(ctx context.Context, s separate) error {
	w.apart = s
	n := len(w.rows.at)
	w.feed(w.floats(&w.pre, n*w.block.spec.Hidden), n, w.block.spec.Hidden, s.linear.ternary != nil)
	if err := w.runRows(ctx, &w.jobs.preNorm); err != nil {
		return err
	}
	return w.multiply(ctx, product{stacked: [3]*linear{s.linear}, dst: s.dst, stride: s.stride})
}

// preNorm makes rows [lo, hi) of the input of the linear at hand.
func (w *workspace) preNorm(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		if w.apart.linear.pre == nil {
			copy(w.row(w.pre, i), w.row(w.norm, i))
		}
		w.normalize(i, w.row(w.norm, i), w.apart.linear.pre)
	}
}

// combine applies the gates of rows [lo, hi).
func (w *workspace) combine(_, lo, hi int) {
	ffn := w.block.spec.FFN
	for i := lo; i < hi; i++ {
		gate := w.gate[i*ffn : (i+1)*ffn]
		w.block.activate(gate, gate, w.up[i*ffn:(i+1)*ffn])
	}
}
