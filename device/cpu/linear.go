package cpu

import (
	"tritflow/graph"
	"tritflow/quantkern"
)

// linear is y = x·Wᵀ × scale + bias, ready to run.
type linear struct {
	*matrix
	scaled bool
	scale  float32
	bias   []float32 // nil or one value an output
	pre    *norm     // nil or a norm of its own input
}

func (h *holding) linear(l *graph.Linear) (*linear, error) {
	m, err := h.repacked(l.Weight, l.Out, l.In)
	if err != nil {
		return nil, err
	}
	lin := &linear{matrix: m}
	if l.Scale != nil {
		s, err := h.vector(l.Scale, 1)
		if err != nil {
			return nil, err
		}
		lin.scaled, lin.scale = true, s[0]
	}
	if lin.pre, err = h.norm(l.Pre, l.In); err != nil {
		return nil, err
	}
	if l.Bias != nil {
		if lin.bias, err = h.vector(l.Bias, l.Out); err != nil {
			return nil, err
		}
	}
	return lin, nil
}

// norm is an RMSNorm ready to run.
type norm struct {
	weight []float32
	eps    float32
}

// norm decodes an RMSNorm over width values; nil stays nil.
func (h *holding) norm(n *graph.Norm, width int) (*norm, error) {
	if n == nil {
		return nil, nil
	}
	w, err := h.vector(n.Weight, width)
	if err != nil {
		return nil, err
	}
	return &norm{weight: w, eps: n.Eps}, nil
}

// input is n activation rows of width values in the forms that linears read:
// x for dense weights, acts (nil when there are none) for ternary ones. Rows
// are quantized once and serve every matrix that reads them.
type input struct {
	n, width int
	x        []float32
	acts     *quantkern.Acts
}

// mul computes outputs [r0, r1) of every row of in; output r of row i goes to
// dst[i*stride+r].
func (l *linear) mul(dst []float32, stride, r0, r1 int, in *input, scratch *quantkern.Scratch) {
	if l.ternary != nil {
		quantkern.MulTernary(dst, stride, l.ternary, r0, r1, in.acts, scratch)
	} else {
		quantkern.MulDense(dst, stride, l.codec, l.data, l.rows, l.cols, r0, r1, in.x, in.n, scratch)
	}
	if !l.scaled && l.bias == nil {
		return
	}
	for i := range in.n {
		out := dst[i*stride+r0 : i*stride+r1]
		if l.scaled {
			for j := range out {
				out[j] *= l.scale
			}
		}
		if l.bias != nil {
			quantkern.Add(out, l.bias[r0:r1])
		}
	}
}

// anyTernary tells whether a layer's input must be quantized.
func anyTernary(ls ...*linear) bool {
	for _, l := range ls {
		if l.ternary != nil {
			return true
		}
	}
	return false
}

// grain is how many of n output rows make a piece for so many rows of
// activations: enough pieces a worker to balance the load and to keep the weights
// of one in the second cache while several tiles of activations pass, not too
// small because the kernels prepare the activations anew for each, which many rows
// feel, and whole cache lines of outputs, which two workers would otherwise write
// in turns; with more than a few rows two of them, which is what some kernels take at a time.
func grain(n, rows, workers int) int {
	const few = 24
	piecesPerWorker, least := 16, lineFloats
	if rows > few {
		piecesPerWorker = 8
	}
	if rows > memoryRows {
		least = 2 * lineFloats
	}
	return max(least, n/(piecesPerWorker*workers)&^(least-1))
}

// lineFloats are those of a cache line.
const lineFloats = 16
