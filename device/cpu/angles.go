package cpu

import (
	"context"
	"slices"

	"tritflow/device"
	"tritflow/graph"
	"tritflow/quantkern"
)

// maxAngles is how many batches' angles are kept: those of two batches in
// flight, by two kinds of rope.
const maxAngles = 4

// angles are the cosines and sines of a batch's positions. All blocks with the
// same rope share them: computing them takes longer than using them.
type angles struct {
	rope     graph.Rope
	pos      []int32
	cos, sin []float32 // [len(pos), rope.Dims/2]
	used     uint64    // when, in uses of the table
}

// angleTable keeps the angles of the batches seen last.
type angleTable struct {
	ledger *device.Ledger
	list   []*angles
	uses   uint64
	pos    []int32 // of the batch at hand
}

// find returns the angles of the positions in t.pos; fresh says that they have
// yet to be computed, in memory that may have held another batch's.
func (t *angleTable) find(rope graph.Rope) (a *angles, fresh bool) {
	rope.Kind = 0 // says how to turn, not how far
	t.uses++
	for _, a := range t.list {
		if a.rope == rope && slices.Equal(a.pos, t.pos) {
			a.used = t.uses
			return a, false
		}
	}
	if len(t.list) < maxAngles {
		t.list = append(t.list, &angles{})
		a = t.list[len(t.list)-1]
	} else {
		a = slices.MinFunc(t.list, func(a, b *angles) int { return int(a.used) - int(b.used) })
	}
	n := len(t.pos) * rope.Dims / 2
	a.rope, a.used = rope, t.uses
	a.pos = append(a.pos[:0], t.pos...)
	a.cos, a.sin = grow(t.ledger, a.cos, n), grow(t.ledger, a.sin, n)
	return a, true
}

// drop forgets what an interrupted computation may have left half done.
func (a *angles) drop() { a.pos = a.pos[:0] }

// row is the angles of compact row i.
func (a *angles) row(i int) (cos, sin []float32) {
	half := a.rope.Dims / 2
	return a.cos[i*half : (i+1)*half], a.sin[i*half : (i+1)*half]
}

// free gives the memory back.
func (t *angleTable) free() {
	for _, a := range t.list {
		t.ledger.Add(device.Activations, -bytesOf[float32](cap(a.cos)+cap(a.sin)))
	}
	t.list = nil
}

// turns prepares the angles of the selected rows for the block at hand.
func (w *workspace) turns(ctx context.Context) error {
	rope := w.block.spec.Rope
	if rope.Kind == graph.RopeNone {
		return nil
	}
	t := &w.angles
	t.pos = t.pos[:0]
	for _, at := range w.rows.at {
		t.pos = append(t.pos, w.rows.batch.Rows[at].Pos)
	}
	var fresh bool
	if w.turn, fresh = t.find(rope); !fresh {
		return nil
	}
	err := w.runRows(ctx, &w.jobs.angle)
	if err != nil {
		w.turn.drop()
	}
	return err
}

// angle computes the angles of rows [lo, hi).
func (w *workspace) angle(_, lo, hi int) {
	rope := &w.block.spec.Rope
	for i := lo; i < hi; i++ {
		cos, sin := w.turn.row(i)
		quantkern.RopeAngles(cos, sin, w.turn.pos[i], rope.Dims, rope.Base, rope.Scale, w.block.ropeFactors)
	}
}
