package walk

import (
	"errors"

	"tritflow/graph"
)

// refuse names what the walk would have to leave out of a network: the results
// would be those of another.
func refuse(m *graph.Model) error {
	no := func(n *graph.Norm, reason string) error {
		return &TensorError{n.Name + ".weight", n.Weight.Type.String(), errors.New("the walk does not know " + reason)}
	}
	if m.Head.Pooling != graph.PoolNone {
		return no(&m.Head.Norm, "models that make embeddings; compare the embeddings themselves")
	}
	if m.Embed.Scale != 0 {
		return &TensorError{m.Embed.Weight.Name, m.Embed.Weight.Type.String(), errors.New("the walk does not know embeddings that are multiplied")}
	}
	for i := range m.Blocks {
		b := &m.Blocks[i]
		for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V, &b.O, &b.Gate, &b.Up, &b.Down} {
			if l.Pre != nil {
				return no(l.Pre, "norms of one product's input")
			}
		}
		for _, n := range []*graph.Norm{b.AttnPostNorm, b.FFNPostNorm} {
			if n != nil {
				return no(n, "norms of what a layer adds")
			}
		}
	}
	return nil
}
