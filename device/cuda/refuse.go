//go:build cuda

package cuda

import (
	"fmt"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

// refuseBlock says what of a block has no kernels on the GPU; a CPU has them all.
func refuseBlock(name string, b *graph.Block) error {
	for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V, &b.Gate, &b.Up} {
		if l.Pre != nil {
			return refuseNorm(name, l.Pre, "the GPU cannot normalize the input of one product alone")
		}
	}
	for _, n := range []*graph.Norm{b.AttnPostNorm, b.FFNPostNorm} {
		if n != nil {
			return refuseNorm(name, n, "the GPU cannot normalize what a layer adds")
		}
	}
	for _, n := range []struct {
		norm  *graph.Norm
		width int
	}{{&b.AttnNorm, b.Hidden}, {b.AttnSubNorm, b.Heads * b.ValueDim}, {&b.FFNNorm, b.Hidden}, {b.FFNSubNorm, b.FFN}} {
		if n.norm != nil && n.width > mostNormed {
			return refuseNorm(name, n.norm, tooLong(n.width))
		}
	}
	if b.Activation != graph.SiLU && b.Activation != graph.ReLU2 {
		return refuseTensor(name, b.Gate.Weight, fmt.Sprintf("the GPU does not know the activation %s behind it", b.Activation))
	}
	if dim := max(b.KeyDim, b.ValueDim); dim > mostPlaced {
		return refuseTensor(name, b.Q.Weight, fmt.Sprintf("the GPU takes heads of up to %d values, not of %d", mostPlaced, dim))
	}
	return nil
}

// mostPlaced is the largest head whose values four warps of place_rows hold in shared memory (48 KiB).
const mostPlaced = 3072

// tooLong says why rows of so many values are neither normalized nor rounded: kernels/norm.cuh would leave the rest out.
func tooLong(width int) string {
	return fmt.Sprintf("the GPU normalizes and rounds rows of up to %d values, not of %d", mostNormed, width)
}

// refuseEmbed refuses embeddings whose rows are multiplied by something.
func refuseEmbed(name string, e *graph.Embed) error {
	if e.Scale == 0 {
		return nil
	}
	return refuseTensor(name, e.Weight, "the GPU cannot scale an embedding")
}

// refuseHead refuses heads that pool, and too long rows.
func refuseHead(name string, h *graph.Head) error {
	if h.Pooling != graph.PoolNone {
		return refuseNorm(name, &h.Norm, "the GPU cannot answer with pooled rows")
	}
	if h.Out.In > mostNormed {
		return refuseNorm(name, &h.Norm, tooLong(h.Out.In))
	}
	return nil
}

// refuseTensor refuses what a CPU can do.
func refuseTensor(name string, t *gguf.Tensor, reason string) error {
	return &device.TensorError{Device: name, Tensor: t.Name, Type: t.Type.String(), Reason: reason + "; run this model with --devices cpu"}
}

func refuseNorm(name string, n *graph.Norm, reason string) error {
	return &device.TensorError{Device: name, Tensor: n.Name + ".weight", Type: n.Weight.Type.String(),
		Reason: reason + "; run this model with --devices cpu"}
}
