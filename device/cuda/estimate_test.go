//go:build cuda

package cuda

import (
	"context"
	"path/filepath"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver/fakedriver"
	"tritflow/graph"
)

// TestEstimate: what was estimated is what is taken, by kernels that do nothing: weights but for
// a list of blocks that only some GPUs and shapes need, and activations of the largest steps, of which
// at most twice as many may be foreseen.
func TestEstimate(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592") {
		return
	}
	for _, name := range []string{"", "tiny-bitnet-ternary.gguf", "tiny-bitnet-f32.gguf", "tiny-llama-f32.gguf", "tiny-qwen3-ternary.gguf", "tiny-i2_s-seed1.gguf"} {
		t.Run("model "+name, func(t *testing.T) {
			path := ""
			if name != "" {
				path = filepath.Join("../../graph/testdata", name)
			}
			m := boundModel(t, path)
			// The whole model, and the two halves of one that is split.
			half := len(m.Blocks) / 2
			for _, p := range []device.Part{
				{Embed: &m.Embed, Blocks: m.Blocks, Head: &m.Head},
				{Embed: &m.Embed, Blocks: m.Blocks[:half]},
				{Blocks: m.Blocks[half:], Head: &m.Head},
			} {
				takes(t, m, p, device.Sizes{Rows: 128, Outputs: 8, Positions: min(m.Context, 512), Batches: 1})
			}
		})
	}
}

// takes loads a part, runs its largest steps and compares.
func takes(t *testing.T, m *graph.Model, p device.Part, s device.Sizes) {
	t.Helper()
	g, ctx := fakeGPU(t), context.Background()
	defer g.Close()
	want, err := g.Estimate(p, s)
	if err != nil {
		t.Fatal(err)
	}
	const pageSize = 32
	pages := ceilDiv(s.Positions, pageSize)
	kv := device.KV{Type: "f16", PageSize: pageSize, Pages: s.Outputs * pages}
	var parts []interface{ Close() error }
	var embed device.Embed
	var blocks device.Blocks
	var head device.Head
	file := uint64(0)
	if p.Embed != nil {
		if embed, err = g.LoadEmbed(ctx, p.Embed); err != nil {
			t.Fatal(err)
		}
		parts, file = append(parts, embed), file+p.Embed.WeightBytes()
	}
	if p.Blocks != nil {
		if blocks, err = g.LoadBlocks(ctx, p.Blocks, kv); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, blocks)
		for i := range p.Blocks {
			file += p.Blocks[i].WeightBytes()
		}
	}
	if p.Head != nil {
		if head, err = g.LoadHead(ctx, p.Head); err != nil {
			t.Fatal(err)
		}
		parts, file = append(parts, head), file+p.Head.WeightBytes()
		if p.Embed != nil && m.Head.Tied {
			file -= m.Embed.WeightBytes()
		}
	}
	step := func(n, each, last int) {
		b := &device.Batch{}
		for i := range n {
			seq := device.Seq{ID: uint64(i + 1), First: len(b.Rows), N: each}
			for j := range pages {
				seq.Pages = append(seq.Pages, int32(i*pages+j))
			}
			for j := range each {
				b.Rows = append(b.Rows, device.Row{Seq: int32(i), Pos: int32(last - each + 1 + j), Token: 1})
			}
			b.Seqs = append(b.Seqs, seq)
			b.Outputs = append(b.Outputs, device.Output{Row: int32(len(b.Rows) - 1), Full: true})
		}
		x, err := device.Hidden(nil), error(nil)
		if embed != nil {
			x, err = embed.Forward(ctx, b, nil)
		} else {
			x, err = g.newHidden(len(b.Rows), m.Hidden)
		}
		if err == nil && blocks != nil {
			x, err = blocks.Forward(ctx, b, x, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if head == nil {
			x.Release()
			return
		}
		l, err := head.Forward(ctx, b, x, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
	}
	step(1, s.Rows, s.Positions-1)
	for n := 1; n <= s.Outputs; n *= 2 {
		step(n, 1, s.Positions-1)
	}
	step(s.Outputs, s.Rows/s.Outputs, s.Positions-1)
	u := g.Ledger().Snapshot().Now
	if got, most := u[device.Weights.String()]+u[device.Mapped.String()], int64(file+want.Copies+want.Screening); got > most || got < most-(2<<10) {
		t.Errorf("%d bytes of weights, %d were estimated", got, most)
	}
	if got, most := u[device.Activations.String()], int64(want.Activations); got > most || 2*got < most {
		t.Errorf("%d bytes of activations, %d were estimated", got, most)
	}
	for _, p := range parts {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
