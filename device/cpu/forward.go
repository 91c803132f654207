package cpu

import (
	"context"

	"tritflow/graph"
	"tritflow/quantkern"
)

// forward runs one block over the selected rows of the residual stream, in
// place. The order of operations and what is rounded where follow bitnet.cpp
// with a whole prompt in one call: the input of each ternary layer is
// quantized a row at a time after its norm, keys and values are rounded to the
// cache's type, everything else stays float32.
func (w *workspace) forward(ctx context.Context, b *block) error {
	w.block = b
	n, g := len(w.rows.at), &b.spec
	queries, keys, values := b.widths()
	w.floats(&w.norm, n*g.Hidden)
	w.floats(&w.qkv, n*(queries+keys+values))
	w.floats(&w.att, n*g.Heads*g.ValueDim)
	w.floats(&w.out, n*g.Hidden)
	w.floats(&w.gate, n*g.FFN)
	w.floats(&w.up, n*g.FFN)

	apart := anyPre(b.q, b.k, b.v)
	w.feed(w.norm, n, g.Hidden, !apart && anyTernary(b.q, b.k, b.v))
	if err := w.runRows(ctx, &w.jobs.attnNorm); err != nil {
		return err
	}
	if apart {
		if err := w.projectApart(ctx); err != nil {
			return err
		}
	} else if err := w.multiply(ctx, product{stacked: [3]*linear{b.q, b.k, b.v}, dst: w.qkv, stride: queries + keys + values}); err != nil {
		return err
	}
	if err := w.turns(ctx); err != nil {
		return err
	}
	if err := w.runRows(ctx, &w.jobs.position); err != nil {
		return err
	}
	w.rows.attendTogether()
	if err := w.run(ctx, len(w.rows.spans)*g.KVHeads, 1, &w.jobs.attend); err != nil {
		return err
	}
	w.feed(w.att, n, g.Heads*g.ValueDim, anyTernary(b.o))
	if err := w.runRows(ctx, &w.jobs.attnSub); err != nil {
		return err
	}
	if err := w.multiply(ctx, product{stacked: [3]*linear{b.o}, dst: w.out, stride: g.Hidden}); err != nil {
		return err
	}
	apart = anyPre(b.gate, b.up)
	w.feed(w.norm, n, g.Hidden, !apart && anyTernary(b.gate, b.up))
	if err := w.runRows(ctx, &w.jobs.ffnNorm); err != nil {
		return err
	}
	if apart {
		if err := w.expandApart(ctx); err != nil {
			return err
		}
	} else if err := w.multiply(ctx, product{stacked: [3]*linear{b.gate}, up: b.up, activate: b.activate, dst: w.gate, upDst: w.up, stride: g.FFN}); err != nil {
		return err
	}
	w.feed(w.gate, n, g.FFN, anyTernary(b.down))
	if err := w.runRows(ctx, &w.jobs.ffnSub); err != nil {
		return err
	}
	if err := w.multiply(ctx, product{stacked: [3]*linear{b.down}, dst: w.out, stride: g.Hidden}); err != nil {
		return err
	}
	return w.runRows(ctx, &w.jobs.finish)
}

// normalize applies a norm (nil: none) to compact row i of the input, in place
// or from src, and quantizes it where the next layer wants that.
func (w *workspace) normalize(i int, src []float32, n *norm) {
	dst := w.in.x[i*w.in.width : (i+1)*w.in.width]
	if n != nil {
		quantkern.RMSNorm(dst, src, n.weight, n.eps)
	}
	if w.in.acts != nil {
		w.in.acts.Quantize(i, dst)
	}
}

// row is compact row i of a buffer with rows of the input's width.
func (w *workspace) row(x []float32, i int) []float32 {
	return x[i*w.in.width : (i+1)*w.in.width]
}

// attnNorm normalizes the residual stream for the attention.
func (w *workspace) attnNorm(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		w.normalize(i, w.residual(i), w.block.attnNorm)
	}
}

// position applies QK-norm and RoPE to the queries and keys of rows [lo, hi)
// and writes keys and values to their pages.
func (w *workspace) position(_, lo, hi int) {
	b := w.block
	g := &b.spec
	queries, keys, values := b.widths()
	var cos, sin []float32
	for i := lo; i < hi; i++ {
		row := w.qkv[i*(queries+keys+values):][:queries+keys+values]
		at := w.rows.batch.Rows[w.rows.at[i]]
		if g.Rope.Kind != graph.RopeNone {
			cos, sin = w.turn.row(i)
		}
		for h := 0; h < queries+keys; h += g.KeyDim {
			head, n := row[h:h+g.KeyDim], b.qNorm
			if h >= queries {
				n = b.kNorm
			}
			if n != nil {
				quantkern.RMSNorm(head, head, n.weight, n.eps)
			}
			if g.Rope.Kind != graph.RopeNone {
				quantkern.Rope(head[:g.Rope.Dims], cos, sin, g.Rope.Kind == graph.RopeNeoX)
			}
		}
		b.kv.Put(w.rows.batch.Seqs[at.Seq].Pages, int(at.Pos), row[queries:queries+keys], row[queries+keys:])
	}
}

// attend computes KV heads [lo, hi), counted over all spans of rows, each with
// all the query heads that share it, so that keys and values are read once for
// them. Every row sees the positions up to its own, which all stand in the
// pages by now.
func (w *workspace) attend(worker, lo, hi int) {
	b := w.block
	g := &b.spec
	queries, keys, values := b.widths()
	group := g.Heads / g.KVHeads
	for j := lo; j < hi; j++ {
		s, head := w.rows.spans[j/g.KVHeads], j%g.KVHeads
		row := w.rows.batch.Rows[w.rows.at[s.first]]
		q := w.qkv[s.first*(queries+keys+values)+head*group*g.KeyDim:]
		dst := w.att[(s.first*g.KVHeads+head)*group*g.ValueDim:]
		quantkern.AttendRows(dst, g.Heads*g.ValueDim, q, queries+keys+values, s.n, group, b.kv, w.rows.batch.Seqs[row.Seq].Pages,
			head, int(row.Pos), g.AttnScale, &w.workers[worker].kernels)
	}
}

// attnSub normalizes the concatenated heads.
func (w *workspace) attnSub(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		w.normalize(i, w.row(w.att, i), w.block.attnSub)
	}
}

// ffnNorm adds the attention's result to the residual stream and normalizes
// that for the feed-forward layer.
func (w *workspace) ffnNorm(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		x := w.residual(i)
		w.add(x, w.row(w.out, i), w.block.attnPost)
		w.normalize(i, x, w.block.ffnNorm)
	}
}

// ffnSub normalizes the feed-forward layer's inner values.
func (w *workspace) ffnSub(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		w.normalize(i, w.row(w.gate, i), w.block.ffnSub)
	}
}

// add adds what a layer gave to the residual stream, after the layer's norm (nil: none).
func (w *workspace) add(x, out []float32, post *norm) {
	if post != nil {
		quantkern.RMSNorm(out, out, post.weight, post.eps)
	}
	quantkern.Add(x, out)
}

// finish adds the feed-forward result to the residual stream and looks for
// values that are not finite.
func (w *workspace) finish(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		x := w.residual(i)
		w.add(x, w.out[i*w.width:(i+1)*w.width], w.block.ffnPost)
		w.rows.check(i, x)
	}
}
