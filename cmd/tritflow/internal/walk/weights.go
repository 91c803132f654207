package walk

import (
	"fmt"

	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// TensorError says why a tensor cannot be walked through.
type TensorError struct {
	Tensor string
	Type   string
	Err    error
}

func (e *TensorError) Error() string {
	return fmt.Sprintf("walk: tensor %s of type %s: %v", e.Tensor, e.Type, e.Err)
}

func (e *TensorError) Unwrap() error { return e.Err }

// matrix is a tensor's rows in the file's own layout.
type matrix struct {
	codec      *quantkern.Codec
	data       []byte
	rows, cols int
}

// view looks at a tensor as it is; tiles that nobody says are those of the shape.
func view(t *gguf.Tensor, rows, cols int) (matrix, error) {
	fail := func(err error) (matrix, error) {
		return matrix{}, &TensorError{t.Name, t.Type.String(), err}
	}
	c, err := quantkern.Lookup(t.Codec())
	if err != nil {
		return fail(err)
	}
	if err := c.Check(rows, cols); err != nil {
		return fail(err)
	}
	if need := c.Size(rows, cols); len(t.Data) < need {
		return fail(fmt.Errorf("%d bytes are there, %d are needed", len(t.Data), need))
	}
	return matrix{c, t.Data, rows, cols}, nil
}

// fitKey is what has the same tiles in all of a file.
type fitKey struct {
	file       string
	typ        gguf.Type
	rows, cols int
}

// view is view with the tiles that the weights show where nobody says them, as
// devices take them.
func (w *Walk) view(t *gguf.Tensor, rows, cols int) (matrix, error) {
	m, err := view(t, rows, cols)
	if err != nil || !m.codec.Tiled() || t.Tile != "" {
		return m, err
	}
	key := fitKey{t.File, t.Type, rows, cols}
	if w.fits[key] == nil {
		w.fits[key], _ = m.codec.FitTiles(m.data, rows, cols)
	}
	m.codec = w.fits[key]
	return m, nil
}

// vector decodes a tensor of n values.
func vector(t *gguf.Tensor, n int) ([]float32, error) {
	m, err := view(t, 1, n)
	if err != nil {
		return nil, err
	}
	v := make([]float32, n)
	m.codec.Decode(v, m.data, 1, n, 0)
	return v, nil
}

// normed is x [rows, width] after an RMSNorm; without one it is x itself.
func (w *Walk) normed(p Point, x []float32, width int, n *graph.Norm) ([]float32, error) {
	if n == nil {
		if w.opt.Absent {
			return x, w.show(p, x, width)
		}
		return x, nil
	}
	weight, err := vector(n.Weight, width)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(x))
	for i := 0; i < len(x); i += width {
		quantkern.RMSNorm(out[i:i+width], x[i:i+width], weight, n.Eps)
	}
	return out, w.show(p, out, width)
}

// product is x·Wᵀ with the numerics of the walk.
func (w *Walk) product(p Point, l *graph.Linear, x []float32) ([]float32, error) {
	m, err := w.view(l.Weight, l.Out, l.In)
	if err != nil {
		return nil, err
	}
	out, err := w.multiply(&m, l, x, m.codec.Ternary && !w.opt.Float)
	if err != nil {
		return nil, err
	}
	if w.opt.Product != nil && p.Layer != Outside {
		if err := w.opt.Product(Product{p, l, x, out}); err != nil {
			return nil, err
		}
	}
	return out, w.show(p, out, l.Out)
}

// Unrounded is a product with the same weights and inputs in float32.
func (w *Walk) Unrounded(p *Product) ([]float32, error) {
	m, err := w.view(p.Linear.Weight, p.Linear.Out, p.Linear.In)
	if err != nil {
		return nil, err
	}
	return w.multiply(&m, p.Linear, p.In, false)
}

func (w *Walk) multiply(m *matrix, l *graph.Linear, x []float32, rounded bool) ([]float32, error) {
	n := len(x) / l.In
	out := make([]float32, n*l.Out)
	var err error
	if rounded {
		var t *quantkern.Ternary
		if t, err = quantkern.NewTernary(m.codec, m.data, m.rows, m.cols); err != nil {
			return nil, &TensorError{l.Weight.Name, m.codec.Name, err}
		}
		w.acts.Reset(n, l.In)
		for i := range n {
			w.acts.Quantize(i, x[i*l.In:(i+1)*l.In])
		}
		err = w.each(l.Out, func(lo, hi int, s *quantkern.Scratch) {
			quantkern.MulTernary(out, l.Out, t, lo, hi, &w.acts, s)
		})
	} else {
		err = w.each(l.Out, func(lo, hi int, s *quantkern.Scratch) {
			quantkern.MulDense(out, l.Out, m.codec, m.data, m.rows, m.cols, lo, hi, x, n, s)
		})
	}
	if err != nil {
		return nil, err
	}
	return out, finish(l, out)
}

// finish applies scale and bias.
func finish(l *graph.Linear, out []float32) error {
	if l.Scale != nil {
		s, err := vector(l.Scale, 1)
		if err != nil {
			return err
		}
		for i := range out {
			out[i] *= s[0]
		}
	}
	if l.Bias != nil {
		bias, err := vector(l.Bias, l.Out)
		if err != nil {
			return err
		}
		for i := 0; i < len(out); i += l.Out {
			quantkern.Add(out[i:i+l.Out], bias)
		}
	}
	return nil
}
