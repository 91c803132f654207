package walk

import (
	"fmt"

	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// Block runs block i over the residual stream.
func (w *Walk) Block(i int) error {
	return gguf.Guard(func() error {
		b := &w.model.Blocks[i]
		heads, err := w.attention(b)
		if err != nil {
			return err
		}
		if err := w.add(FFNInput, b, heads); err != nil {
			return err
		}
		out, err := w.feedForward(b)
		if err != nil {
			return err
		}
		return w.add(Residual, b, out)
	})
}

// add adds a branch to the residual stream.
func (w *Walk) add(name string, b *graph.Block, branch []float32) error {
	quantkern.Add(w.x, branch)
	return w.show(Point{name, b.Index, 0}, w.x, b.Hidden)
}

// attention gives what attention adds to the residual stream.
func (w *Walk) attention(b *graph.Block) ([]float32, error) {
	at := func(name string) Point { return Point{name, b.Index, 0} }
	x, err := w.normed(at(AttnNorm), w.x, b.Hidden, &b.AttnNorm)
	if err != nil {
		return nil, err
	}
	q, err := w.product(at(Q), &b.Q, x)
	if err != nil {
		return nil, err
	}
	k, err := w.product(at(K), &b.K, x)
	if err != nil {
		return nil, err
	}
	v, err := w.product(at(V), &b.V, x)
	if err != nil {
		return nil, err
	}
	if err := w.position(b, q, k); err != nil {
		return nil, err
	}
	heads, err := w.attend(b, q, k, v)
	if err != nil {
		return nil, err
	}
	width := b.Heads * b.ValueDim
	if heads, err = w.normed(at(AttnSub), heads, width, b.AttnSubNorm); err != nil {
		return nil, err
	}
	return w.product(at(AttnOut), &b.O, heads)
}

// position applies QK-norm and RoPE, in place.
func (w *Walk) position(b *graph.Block, q, k []float32) error {
	var factors []float32
	var err error
	if b.Rope.Kind != graph.RopeNone && b.Rope.Factors != nil {
		if factors, err = vector(b.Rope.Factors, b.Rope.Dims/2); err != nil {
			return err
		}
	}
	cos, sin := make([]float32, b.Rope.Dims/2), make([]float32, b.Rope.Dims/2)
	for _, part := range []struct {
		point Point
		x     []float32
		heads int
		norm  *graph.Norm
	}{{Point{Q, b.Index, 1}, q, b.Heads, b.QNorm}, {Point{K, b.Index, 1}, k, b.KVHeads, b.KNorm}} {
		var weight []float32
		if part.norm != nil {
			if weight, err = vector(part.norm.Weight, b.KeyDim); err != nil {
				return err
			}
		}
		for pos := range w.ids {
			if b.Rope.Kind != graph.RopeNone {
				quantkern.RopeAngles(cos, sin, int32(pos), b.Rope.Dims, b.Rope.Base, b.Rope.Scale, factors)
			}
			for h := range part.heads {
				head := part.x[(pos*part.heads+h)*b.KeyDim:][:b.KeyDim]
				if weight != nil {
					quantkern.RMSNorm(head, head, weight, part.norm.Eps)
				}
				if b.Rope.Kind != graph.RopeNone {
					quantkern.Rope(head[:b.Rope.Dims], cos, sin, b.Rope.Kind == graph.RopeNeoX)
				}
			}
		}
		if err := w.show(part.point, part.x, part.heads*b.KeyDim); err != nil {
			return err
		}
	}
	return nil
}

// attend is causal attention, one row and one KV head after the other.
func (w *Walk) attend(b *graph.Block, q, k, v []float32) ([]float32, error) {
	kv, err := quantkern.NewKVPages(w.opt.KV, len(w.table), pageSize, b.KVHeads, b.KeyDim, b.ValueDim, nil)
	if err != nil {
		return nil, fmt.Errorf("walk: block %d: %w", b.Index, err)
	}
	n, keys, values := len(w.ids), b.KVHeads*b.KeyDim, b.KVHeads*b.ValueDim
	for pos := range n {
		kv.Put(w.table, pos, k[pos*keys:(pos+1)*keys], v[pos*values:(pos+1)*values])
	}
	group, width := b.Heads/b.KVHeads, b.Heads*b.ValueDim
	out := make([]float32, n*width)
	err = w.each(n*b.KVHeads, func(lo, hi int, s *quantkern.Scratch) {
		for j := lo; j < hi; j++ {
			pos, head := j/b.KVHeads, j%b.KVHeads
			rows := q[(pos*b.Heads+head*group)*b.KeyDim:][:group*b.KeyDim]
			quantkern.Attend(out[pos*width+head*group*b.ValueDim:][:group*b.ValueDim], rows, kv, w.table, head, pos, b.AttnScale, s)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, w.show(Point{Heads, b.Index, 0}, out, width)
}

// feedForward gives what the feed-forward layer adds to the residual stream.
func (w *Walk) feedForward(b *graph.Block) ([]float32, error) {
	at := func(name string) Point { return Point{name, b.Index, 0} }
	x, err := w.normed(at(FFNNorm), w.x, b.Hidden, &b.FFNNorm)
	if err != nil {
		return nil, err
	}
	gate, err := w.product(at(Gate), &b.Gate, x)
	if err != nil {
		return nil, err
	}
	up, err := w.product(at(Up), &b.Up, x)
	if err != nil {
		return nil, err
	}
	switch b.Activation {
	case graph.SiLU:
		quantkern.SiLUMul(gate, gate, up)
	case graph.ReLU2:
		quantkern.ReLU2Mul(gate, gate, up)
	default:
		return nil, fmt.Errorf("walk: block %d asks for activation %d, which the walk does not know", b.Index, b.Activation)
	}
	if err := w.show(at(Gated), gate, b.FFN); err != nil {
		return nil, err
	}
	if gate, err = w.normed(at(FFNSub), gate, b.FFN, b.FFNSubNorm); err != nil {
		return nil, err
	}
	return w.product(at(Down), &b.Down, gate)
}
