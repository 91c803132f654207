package i2slayout

import (
	"tritflow/graph"
	"tritflow/quantkern"
)

// FromModel pairs the I2_S matrices of a network with what they can be compared
// with: the norm in front of each, and the matrices whose outputs they read. most
// bounds the number of blocks that are looked at (0: all), spread over the network.
func FromModel(m *graph.Model, most int) []Group {
	step := 1
	if most > 0 && len(m.Blocks) > most {
		step = (len(m.Blocks) + most - 1) / most
	}
	var groups []Group
	add := func(l *graph.Linear, n *graph.Norm, column func(int) int, makers ...*graph.Linear) {
		of, ok := matrix(l)
		if !ok {
			return
		}
		g := Group{Of: of, Norm: weights(n), Column: column}
		for _, k := range makers {
			if made, ok := matrix(k); ok {
				g.Makers = append(g.Makers, made)
			}
		}
		groups = append(groups, g)
	}
	for i := 0; i < len(m.Blocks); i += step {
		b := &m.Blocks[i]
		for _, l := range []*graph.Linear{&b.Q, &b.K, &b.V} {
			add(l, &b.AttnNorm, nil)
		}
		shared := b.Heads / max(b.KVHeads, 1) * b.ValueDim // columns that read one head of values
		add(&b.O, b.AttnSubNorm, func(c int) int { return c/shared*b.ValueDim + c%b.ValueDim }, &b.V)
		add(&b.Gate, &b.FFNNorm, nil)
		add(&b.Up, &b.FFNNorm, nil)
		add(&b.Down, b.FFNSubNorm, nil, &b.Gate, &b.Up)
	}
	return groups
}

func matrix(l *graph.Linear) (Matrix, bool) {
	if l.Weight == nil || l.Weight.Type.ID() != i2sID || len(l.Weight.Data) == 0 {
		return Matrix{}, false
	}
	return Matrix{Data: l.Weight.Data, Rows: l.Out, Cols: l.In}, true
}

// i2sID is the type number that all three orders share.
const i2sID = 36

// weights decodes a norm, nil where there is none.
func weights(n *graph.Norm) []float32 {
	if n == nil || n.Weight == nil || len(n.Weight.Data) == 0 {
		return nil
	}
	c, err := quantkern.Lookup(n.Weight.Type.String())
	if err != nil {
		return nil
	}
	out := make([]float32, n.Weight.Elements())
	c.Decode(out, n.Weight.Data, 1, len(out), 0)
	return out
}
