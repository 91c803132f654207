//go:build cuda

package cuda

import (
	"tritflow/device"
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
	return nil
}

// refuseEmbed refuses embeddings whose rows are multiplied by something.
func refuseEmbed(name string, e *graph.Embed) error {
	if e.Scale == 0 {
		return nil
	}
	return &device.TensorError{Device: name, Tensor: e.Weight.Name, Type: e.Weight.Type.String(),
		Reason: "the GPU cannot scale an embedding; run this model with --devices cpu"}
}

// refuseHead refuses heads that pool.
func refuseHead(name string, h *graph.Head) error {
	if h.Pooling == graph.PoolNone {
		return nil
	}
	return refuseNorm(name, &h.Norm, "the GPU cannot answer with pooled rows")
}

func refuseNorm(name string, n *graph.Norm, reason string) error {
	return &device.TensorError{Device: name, Tensor: n.Name + ".weight", Type: n.Weight.Type.String(),
		Reason: reason + "; run this model with --devices cpu"}
}
