//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/graph"
	"tritflow/quantkern"
)

// angles are the cosines and sines of a rope for positions 0, 1, …: [positions, Dims/2]
// each, float32, made on the host with the CPU's own functions. Blocks with the same rope
// share them; they grow when a longer sequence comes.
type angles struct {
	g         *gpu
	rope      graph.Rope
	factors   []float32
	positions int
	cos, sin  *memory
	holders   int
}

// firstAngles is for how many positions angles are made at first.
const firstAngles = 1024

// angles finds or makes those of a rope. On the queue.
func (h *holding) angles(rope graph.Rope) (*angles, error) {
	rope.Kind = graph.RopeNone // says how to turn, not how far
	for _, a := range h.g.angles {
		if a.rope == rope {
			a.holders++
			h.turns = append(h.turns, a)
			return a, nil
		}
	}
	a := &angles{g: h.g, rope: rope, holders: 1}
	if rope.Factors != nil {
		v, err := h.g.values(rope.Factors, rope.Dims/2)
		if err != nil {
			return nil, err
		}
		a.factors = v
	}
	if err := a.reach(firstAngles); err != nil {
		a.drop()
		return nil, err
	}
	h.g.angles = append(h.g.angles, a)
	h.turns = append(h.turns, a)
	return a, nil
}

// reach makes sure of positions below n; true says that the memory moved. On the queue.
func (a *angles) reach(n int) error {
	if n <= a.positions {
		return nil
	}
	n = max(n, 2*a.positions)
	half := a.rope.Dims / 2
	cos, sin := make([]float32, n*half), make([]float32, n*half)
	if err := inPieces(n, func(lo, hi int) {
		for p := lo; p < hi; p++ {
			quantkern.RopeAngles(cos[p*half:(p+1)*half], sin[p*half:(p+1)*half], int32(p), a.rope.Dims, a.rope.Base, a.rope.Scale, a.factors)
		}
	}); err != nil {
		return err
	}
	a.g.drain()
	a.drop()
	a.g.moved++
	for _, t := range []struct {
		to   **memory
		from []float32
	}{{&a.cos, cos}, {&a.sin, sin}} {
		m, err := a.g.take(device.Weights, "angles of positions", int64(4*len(t.from)))
		if err != nil {
			a.drop()
			return err
		}
		*t.to = m
		if err := a.g.copyIn("angles", m.ptr, bytesOf(t.from)); err != nil {
			return err
		}
	}
	a.positions = n
	return nil
}

func (a *angles) drop() {
	a.cos.give()
	a.sin.give()
	a.cos, a.sin, a.positions = nil, nil, 0
}
