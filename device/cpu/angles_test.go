package cpu

import (
	"context"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// TestAngles runs several kinds of rope over several batches, again and again,
// and compares what the blocks would get with the angles computed anew.
func TestAngles(t *testing.T) {
	d := open(t, "2")
	w := &d.work
	factors := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	ropes := []graph.Rope{
		{Kind: graph.RopeNeoX, Dims: 16, Base: 10000, Scale: 1},
		{Kind: graph.RopeNeoX, Dims: 16, Base: 500000, Scale: 1},
		{Kind: graph.RopeNeoX, Dims: 16, Base: 10000, Scale: 0.5},
		{Kind: graph.RopeNeoX, Dims: 8, Base: 10000, Scale: 1},
		{Kind: graph.RopeNeoX, Dims: 16, Base: 10000, Scale: 1, Factors: &gguf.Tensor{}},
	}
	batches := [][]int32{{0}, {5}, {5, 6, 7}, {5, 7, 6}, {0, 1000, 3, 4}}
	turn := func(rope graph.Rope, positions []int32) {
		t.Helper()
		b := &block{spec: graph.Block{Rope: rope}}
		if rope.Factors != nil {
			b.ropeFactors = factors
		}
		w.block = b
		w.rows.batch, w.rows.at = &device.Batch{}, w.rows.at[:0]
		for i, pos := range positions {
			w.rows.batch.Rows = append(w.rows.batch.Rows, device.Row{Pos: -1}, device.Row{Pos: pos})
			w.rows.at = append(w.rows.at, int32(2*i+1))
		}
		before := w.angles.uses
		if err := d.team.do(context.Background(), w.turns); err != nil {
			t.Fatal(err)
		}
		half := rope.Dims / 2
		wantCos, wantSin := make([]float32, half), make([]float32, half)
		for i, pos := range positions {
			quantkern.RopeAngles(wantCos, wantSin, pos, rope.Dims, rope.Base, rope.Scale, b.ropeFactors)
			cos, sin := w.turn.row(i)
			if !slices.Equal(cos, wantCos) || !slices.Equal(sin, wantSin) {
				t.Fatalf("rope %+v: other angles for row %d of %v", rope, i, positions)
			}
		}
		if len(w.angles.list) > maxAngles || w.angles.uses != before+1 {
			t.Fatalf("%d batches are kept, %d uses", len(w.angles.list), w.angles.uses)
		}
	}
	for range 2 {
		for _, rope := range ropes {
			for _, positions := range batches {
				turn(rope, positions)
			}
		}
	}
	// The second block of a batch finds what the first one left.
	turn(ropes[0], batches[2])
	first := w.turn
	first.cos[0] = 42
	other := ropes[0]
	other.Kind = graph.RopeNormal
	w.block.spec.Rope = other
	if err := d.team.do(context.Background(), w.turns); err != nil || w.turn != first || first.cos[0] != 42 {
		t.Errorf("angles were computed twice (%v)", err)
	}
	// What a cancelled call began is not found by the next one.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.block.spec.Rope.Base = 77
	if err := d.team.do(ctx, w.turns); err == nil {
		t.Fatal("a cancelled call computed")
	}
	turn(w.block.spec.Rope, batches[2])
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n := d.ledger.Snapshot().Now["activations"]; n != 0 {
		t.Errorf("%d bytes after Close", n)
	}
}
