package cpu

import (
	"testing"

	"tritflow/device"
	"tritflow/device/devtest"
	"tritflow/quantkern"
)

// TestEstimateCoversContext: what workers take for the scores of rows that see a long context is planned,
// on every tier.
func TestEstimateCoversContext(t *testing.T) { withinEstimate(t, "2", 32, 32<<10) }

// TestEstimateCoversWords: what workers take to multiply many rows in plain Go is planned, for each of them.
func TestEstimateCoversWords(t *testing.T) { withinEstimate(t, "8", 1024, 1024) }

// withinEstimate computes the last rows of so many positions on every tier and compares what that took with what
// was estimated.
func withinEstimate(t *testing.T, workers string, rows, positions int) {
	kv := testKV
	kv.Pages = 1 + rows/kv.PageSize
	// What is only read is one page, again and again: what stands there does not matter.
	pages := make([]int32, positions/kv.PageSize)
	for i := range kv.Pages - 1 {
		pages[len(pages)-1-i] = int32(1 + i)
	}
	m := devtest.OpenModel(t, devtest.Ternary)
	m.Blocks = m.Blocks[:1]
	for _, tier := range quantkern.Tiers() {
		t.Run(tier, func(t *testing.T) {
			restore, err := quantkern.UseTier(tier)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			d := open(t, workers)
			defer closeAll(t, d)
			planned, err := d.Estimate(device.Part{Embed: &m.Embed, Blocks: m.Blocks, Head: &m.Head},
				device.Sizes{Rows: rows, Outputs: 1, Positions: positions, Batches: 1})
			if err != nil {
				t.Fatal(err)
			}
			parts, err := devtest.Load(t.Context(), m, kv, d)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []devtest.Chunk{
				{ID: 1, Pages: []int32{0}, Tokens: make([]int32, kv.PageSize)},
				{ID: 2, Pages: pages, Pos: positions - rows, Tokens: make([]int32, rows)},
			} {
				b := devtest.NewBatch(device.Output{TopK: 1}, c)
				b.Outputs = b.Outputs[:1]
				l, err := devtest.Forward(t.Context(), parts, b)
				if err != nil {
					t.Fatal(err)
				}
				l.Release()
			}
			if took := d.Ledger().Snapshot().Peak["activations"]; uint64(took) > planned.Activations {
				t.Errorf("%d bytes of activations, planned %d", took, planned.Activations)
			}
		})
	}
}
