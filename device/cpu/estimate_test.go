package cpu

import (
	"testing"

	"tritflow/device"
	"tritflow/device/devtest"
	"tritflow/graph"
	"tritflow/quantkern"
)

// TestEstimateCoversContext: what workers take for the scores of rows that see a long context is planned,
// on every tier.
func TestEstimateCoversContext(t *testing.T) {
	const rows, positions = 32, 32 << 10
	for _, tier := range quantkern.Tiers() {
		restore, err := quantkern.UseTier(tier)
		if err != nil {
			t.Fatal(err)
		}
		m := devtest.OpenModel(t, devtest.Ternary)
		m.Blocks = m.Blocks[:1]
		// One page, again and again: what stands there does not matter.
		pages := make([]int32, positions/testKV.PageSize)
		withinEstimate(t, tier, "2", m, device.Sizes{Rows: rows, Outputs: 1, Positions: positions, Batches: 1},
			devtest.Chunk{ID: 1, Pages: pages, Pos: positions - rows, Tokens: make([]int32, rows)})
		restore()
	}
}

// TestEstimateCoversWords: what workers take to multiply many rows in plain Go is planned, for each of them.
func TestEstimateCoversWords(t *testing.T) {
	const rows = 2048
	m := devtest.OpenModel(t, devtest.Ternary)
	m.Blocks = m.Blocks[:1]
	pages := make([]int32, rows/testKV.PageSize)
	for _, tier := range quantkern.Tiers() {
		restore, err := quantkern.UseTier(tier)
		if err != nil {
			t.Fatal(err)
		}
		withinEstimate(t, tier, "8", m, device.Sizes{Rows: rows, Outputs: 1, Positions: rows, Batches: 1},
			devtest.Chunk{ID: 1, Pages: pages, Tokens: make([]int32, rows)})
		restore()
	}
}

// withinEstimate computes a chunk and compares what that took with what was estimated.
func withinEstimate(t *testing.T, what, workers string, m *graph.Model, s device.Sizes, c devtest.Chunk) {
	t.Helper()
	d := open(t, workers)
	defer closeAll(t, d)
	planned, err := d.Estimate(device.Part{Embed: &m.Embed, Blocks: m.Blocks, Head: &m.Head}, s)
	if err != nil {
		t.Fatal(err)
	}
	b := devtest.NewBatch(device.Output{TopK: 1}, c)
	b.Outputs = b.Outputs[:s.Outputs]
	l, err := devtest.Forward(t.Context(), loadModel(t, m, d), b)
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
	if took := d.Ledger().Snapshot().Peak["activations"]; uint64(took) > planned.Activations {
		t.Errorf("%s: %d bytes of activations, planned %d", what, took, planned.Activations)
	}
}
