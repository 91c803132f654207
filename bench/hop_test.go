package bench

import (
	"errors"
	"os"
	"testing"
	"time"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/graph"
	"tritflow/stages"
)

// BenchmarkStageHop: decode through a goroutine a block against the same
// device called in a plain loop, with all blocks in one call. The two take
// turns, because the machine's own speed moves; which one begins does too.
func BenchmarkStageHop(b *testing.B) {
	const answer = 64
	path := os.Getenv(modelVariable)
	e := openModel(b, path, 512)
	r := stages.Request{Tokens: prompt(e.Model(), 8), MaxTokens: answer, IgnoreEOS: true}
	loop := newPlainLoop(b, path)
	loop.decode(b, r.Tokens, answer) // asks for the copy of the head
	if err := settled(b.Context(), []device.Device{loop.dev}); err != nil {
		b.Fatal(err)
	}
	var staged, plain time.Duration
	for i := 0; b.Loop(); i++ {
		if i%2 == 0 {
			staged += generateFor(b, e, r, warmTokens)
		}
		plain += loop.decode(b, r.Tokens, answer)
		if i%2 == 1 {
			staged += generateFor(b, e, r, warmTokens)
		}
	}
	tokens := float64(b.N * (answer - warmTokens))
	b.ReportMetric(tokens/staged.Seconds(), "staged-tok/s")
	b.ReportMetric(tokens/plain.Seconds(), "plain-tok/s")
	b.ReportMetric(plain.Seconds()/staged.Seconds(), "staged/plain")
}

// plainLoop is a model on the CPU without stages.
type plainLoop struct {
	dev    device.Device
	embed  device.Embed
	blocks device.Blocks
	head   device.Head
	pages  []int32
}

func newPlainLoop(b *testing.B, path string) *plainLoop {
	b.Helper()
	f, err := builtin.OpenFile(path, gguf.Options{})
	if err != nil {
		b.Fatal(err)
	}
	devs, err := device.OpenList("cpu")
	if err != nil {
		b.Fatal(errors.Join(err, f.Close()))
	}
	b.Cleanup(func() {
		if err := errors.Join(devs[0].Close(), f.Close()); err != nil {
			b.Error(err)
		}
	})
	m, err := graph.Bind(f)
	if err != nil {
		b.Fatal(err)
	}
	const pages = 16
	p := &plainLoop{dev: devs[0]}
	var embedErr, blocksErr, headErr error
	p.embed, embedErr = p.dev.LoadEmbed(b.Context(), &m.Embed)
	p.blocks, blocksErr = p.dev.LoadBlocks(b.Context(), m.Blocks, device.KV{Type: "f16", PageSize: 32, Pages: pages})
	p.head, headErr = p.dev.LoadHead(b.Context(), &m.Head)
	if err := errors.Join(embedErr, blocksErr, headErr); err != nil {
		b.Fatal(err)
	}
	for i := range int32(pages) {
		p.pages = append(p.pages, i)
	}
	return p
}

// decode answers a prompt greedily and returns how long the tokens after the
// first warm ones took.
func (p *plainLoop) decode(b *testing.B, prompt []int32, answer int) time.Duration {
	b.Helper()
	var start time.Time
	next, pos := prompt, 0
	for n := 1; n <= answer; n++ {
		batch := device.Batch{Seqs: []device.Seq{{N: len(next), Pages: p.pages}}}
		for i, token := range next {
			batch.Rows = append(batch.Rows, device.Row{Pos: int32(pos + i), Token: token})
		}
		batch.Outputs = []device.Output{{Row: int32(len(next) - 1), TopK: 1}}
		pos += len(next)
		next = []int32{p.step(b, &batch)}
		if n == warmTokens {
			start = time.Now()
		}
	}
	return time.Since(start)
}

// step runs a batch with one output and returns its most probable token.
func (p *plainLoop) step(b *testing.B, batch *device.Batch) int32 {
	b.Helper()
	ctx := b.Context()
	x, err := p.embed.Forward(ctx, batch, nil)
	if err != nil {
		b.Fatal(err)
	}
	if x, err = p.blocks.Forward(ctx, batch, x, nil); err != nil {
		b.Fatal(err)
	}
	l, err := p.head.Forward(ctx, batch, x, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Release()
	scores, err := l.Row(0)
	if err != nil {
		b.Fatal(err)
	}
	return scores.Top[0].ID
}
