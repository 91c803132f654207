package check

import (
	"context"
	"errors"
	"math"

	"tritflow/device"
	_ "tritflow/device/cpu" // trials run there
	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
	"tritflow/quantkern"
)

// probeTexts are plain English of the simplest kind, some of which every
// language model that has learnt English predicts far better than chance; the
// last one suits very small models of tales. (Own text.)
var probeTexts = []string{
	`Once upon a time, there was a little girl named Lily. She lived in a small house near the river with her mother and her father. ` +
		`One day, Lily found a big red ball in the garden. She was very happy and wanted to play with it.`,
	`The capital of France is Paris. The capital of Japan is Tokyo. The capital of Italy is Rome.`,
	`One day, Mina found a map in a bottle. The map led to a place in the old barn. Mina could not wait and ran all the way. ` +
		`A young badger was already sitting on the spot.`,
}

// leastTrial and mostTrial bound the tokens of a text.
const leastTrial, mostTrial = 12, 64

// probeTokens are the texts as a vocabulary has them.
func probeTokens(v *vocab.Vocab, context int) [][]int32 {
	var seqs [][]int32
	for _, text := range probeTexts {
		ids := v.Encode(text, vocab.EncodeOptions{AddSpecial: true})
		if len(ids) > min(mostTrial, context) {
			ids = ids[:min(mostTrial, context)]
		}
		if len(ids) >= leastTrial {
			seqs = append(seqs, ids)
		}
	}
	return seqs
}

// bench is a loaded place to try networks on: one CPU device.
type bench struct {
	dev  device.Device
	seqs [][]int32
}

// newBench opens the CPU.
func newBench(seqs [][]int32) (*bench, error) {
	devs, err := device.OpenList("cpu")
	if err != nil {
		return nil, err
	}
	return &bench{dev: devs[0], seqs: seqs}, nil
}

func (b *bench) close() error { return b.dev.Close() }

// tokens is the number of tokens of all texts.
func (b *bench) tokens() int {
	n := 0
	for _, ids := range b.seqs {
		n += len(ids)
	}
	return n
}

// surprise runs the texts through a network and returns, for each, −ln p of every
// token but the first. The error is one of loading or of a network whose numbers fail.
func (b *bench) surprise(ctx context.Context, m *graph.Model) (nats [][]float64, err error) {
	err = gguf.Guard(func() error {
		nats, err = b.forward(ctx, m)
		return err
	})
	return nats, err
}

func (b *bench) forward(ctx context.Context, m *graph.Model) (nats [][]float64, err error) {
	const pageSize = 32
	batch, pages := b.batch(pageSize)
	kv := device.KV{Type: "f16", PageSize: pageSize, Pages: pages}
	embed, err := b.dev.LoadEmbed(ctx, &m.Embed)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, embed.Close()) }()
	x, err := embed.Forward(ctx, batch, nil)
	if err != nil {
		return nil, err
	}
	for i := range m.Blocks { // one after the other, so that repacked copies are never all there
		if x, err = b.through(ctx, m.Blocks[i:i+1], kv, batch, x); err != nil {
			return nil, err
		}
	}
	head, err := b.dev.LoadHead(ctx, &m.Head)
	if err != nil {
		x.Release()
		return nil, err
	}
	defer func() { err = errors.Join(err, head.Close()) }()
	logits, err := head.Forward(ctx, batch, x, nil)
	if err != nil {
		return nil, err
	}
	defer logits.Release()
	at := 0
	for k, ids := range b.seqs {
		if err := batch.Seqs[k].Err; err != nil {
			return nil, err
		}
		var of []float64
		for _, next := range ids[1:] {
			row, err := logits.Row(at)
			if err != nil {
				return nil, err
			}
			of = append(of, negLogProb(row.Full, next))
			at++
		}
		nats = append(nats, of)
	}
	return nats, nil
}

func (b *bench) through(ctx context.Context, blocks []graph.Block, kv device.KV, batch *device.Batch, x device.Hidden) (y device.Hidden, err error) {
	part, err := b.dev.LoadBlocks(ctx, blocks, kv)
	if err != nil {
		x.Release()
		return nil, err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	return part.Forward(ctx, batch, x, nil)
}

// batch has all texts as sequences of their own, whose every position but the
// last is answered, and needs so many pages.
func (b *bench) batch(pageSize int) (out *device.Batch, pages int) {
	out = &device.Batch{}
	for k, ids := range b.seqs {
		seq := device.Seq{ID: uint64(k + 1), First: len(out.Rows), N: len(ids)}
		for range (len(ids) + pageSize - 1) / pageSize {
			seq.Pages = append(seq.Pages, int32(pages))
			pages++
		}
		out.Seqs = append(out.Seqs, seq)
		for i, id := range ids {
			if i < len(ids)-1 {
				out.Outputs = append(out.Outputs, device.Output{Row: int32(len(out.Rows)), Full: true})
			}
			out.Rows = append(out.Rows, device.Row{Seq: int32(k), Pos: int32(i), Token: id})
		}
	}
	return out, pages
}

// negLogProb is −ln of the probability that logits give a token.
func negLogProb(logits []float32, id int32) float64 {
	most := float64(logits[0])
	for _, l := range logits {
		most = max(most, float64(l))
	}
	sum := 0.0
	for _, l := range logits {
		sum += float64(quantkern.Exp(float32(float64(l) - most)))
	}
	return most + math.Log(sum) - float64(logits[id])
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// gain is how much better b predicts than a on average, and by how many
// standard errors, token by token.
func gain(a, b []float64) (nats, errors float64) {
	n := min(len(a), len(b))
	d := make([]float64, n)
	for i := range d {
		d[i] = a[i] - b[i]
	}
	nats = mean(d)
	squares := 0.0
	for _, v := range d {
		squares += (v - nats) * (v - nats)
	}
	if squares == 0 {
		return nats, 0
	}
	return nats, nats / math.Sqrt(squares/float64(n*(n-1)))
}
