package cpu

import (
	"context"

	"tritflow/quantkern"
)

// memoryRows is up to how many rows of activations memory bounds a product. Then its
// pieces are short, and may be done again when a worker is interrupted.
const memoryRows = 2

// leastPiece is how many bytes of weights a piece that may be done again has at least: handing
// it out should take a small part of its time.
const leastPiece = 24 << 10

// product is the multiplication of the rows of an input with matrices.
type product struct {
	in      input
	stacked [3]*linear // their outputs lie one after the other; nil: no more

	// With up, stacked[0] are the gates of its outputs.
	up       *linear
	upDst    []float32 // as dst, for the products of up alone
	activate func(dst, gate, up []float32)

	// Output r of row i goes to dst[i*stride+r].
	dst    []float32
	stride int
}

// size is how many outputs a row has, and how many bytes of weights they read.
func (p *product) size() (outputs, bytes int) {
	for _, l := range p.stacked {
		if l != nil {
			outputs += l.rows
			bytes += len(l.data)
		}
	}
	if p.up != nil {
		bytes += len(p.up.data)
	}
	return outputs, bytes
}

// mul computes outputs [lo, hi) of every row.
func (p *product) mul(lo, hi int, scratch *quantkern.Scratch) {
	off := 0
	for _, l := range p.stacked {
		if l == nil {
			break
		}
		if r0, r1 := max(lo-off, 0), min(hi-off, l.rows); r0 < r1 {
			l.mul(p.dst[off:], p.stride, r0, r1, &p.in, scratch)
		}
		off += l.rows
	}
	if p.up == nil {
		return
	}
	p.up.mul(p.upDst, p.stride, lo, hi, &p.in, scratch)
	for i := range p.in.n {
		gate := p.dst[i*p.stride+lo : i*p.stride+hi]
		p.activate(gate, gate, p.upDst[i*p.stride+lo:i*p.stride+hi])
	}
}

// multiply runs a product of the rows at hand.
func (w *workspace) multiply(ctx context.Context, p product) error {
	p.in = w.in
	w.product = p
	n, bytes := p.size()
	if p.in.n > memoryRows || len(w.workers) == 1 {
		return w.runOutputs(ctx, n, &w.jobs.multiply)
	}
	piece := max(grain(n, p.in.n, len(w.workers)), n*w.leastPiece/max(bytes, 1)&^(lineFloats-1))
	return w.run(ctx, n, piece, &w.jobs.multiplyAgain)
}

// mulShared computes outputs [lo, hi) of every row where they belong.
func (w *workspace) mulShared(worker, lo, hi int) {
	w.product.mul(lo, hi, &w.workers[worker].kernels)
}

// own is a worker's copy of the product at hand, with outputs of its own.
type own struct {
	product product
	acts    quantkern.Acts
	dst, up []float32
	shared  []float32 // where the outputs belong
}

func (o *own) bytes() int { return 4 * (cap(o.dst) + cap(o.up)) }

// takeProduct copies the operands.
func (w *workspace) takeProduct(worker int) {
	o := &w.workers[worker].own
	o.product = w.product
	o.shared = o.product.dst
	if acts := o.product.in.acts; acts != nil {
		o.acts = *acts
		o.product.in.acts = &o.acts
	}
}

// mulOwn computes outputs [lo, hi) of every row in the worker's memory.
func (w *workspace) mulOwn(worker, lo, hi int) {
	me := &w.workers[worker]
	o := &me.own
	p := &o.product
	o.dst = resized(o.dst, p.in.n*p.stride)
	p.dst = o.dst
	if p.up != nil {
		o.up = resized(o.up, p.in.n*p.stride)
		p.upDst = o.up
	}
	p.mul(lo, hi, &me.kernels)
}

// keepProduct copies outputs [lo, hi) of every row to where they belong.
func (w *workspace) keepProduct(worker, lo, hi int) {
	o := &w.workers[worker].own
	for i := range o.product.in.n {
		at := i * o.product.stride
		copy(o.shared[at+lo:at+hi], o.dst[at+lo:at+hi])
	}
}
