package cpu

import (
	"context"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

// embed is a loaded embedding; rows are decoded when they are asked for.
type embed struct {
	dev    *cpuDevice
	held   holding
	table  *matrix // [vocab, hidden]
	hidden int
	vocab  int
	scale  float32 // 0: none
}

// LoadEmbed takes the embedding over in place.
func (d *cpuDevice) LoadEmbed(ctx context.Context, e *graph.Embed) (device.Embed, error) {
	p := &embed{dev: d, held: holding{all: &d.weights}, hidden: e.Hidden, vocab: e.Vocab, scale: e.Scale}
	return load(ctx, d, "the embedding", p, func(p *embed) error {
		return gguf.Guard(func() (err error) {
			p.table, err = p.held.matrix(e.Weight, e.Vocab, e.Hidden)
			return err
		})
	})
}

// Forward looks the rows up. A token outside the vocabulary fails its sequence
// with a *device.TokenError.
func (p *embed) Forward(ctx context.Context, b *device.Batch, done device.Worked) (device.Hidden, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	start, err := p.dev.begin(ctx, p)
	if err != nil {
		return nil, err
	}
	defer p.dev.end(start, done)
	for i, row := range b.Rows {
		if row.Token < 0 || int(row.Token) >= p.vocab {
			b.Fail(row.Seq, &device.TokenError{
				Sequence: b.Seqs[row.Seq].ID, Row: i, Pos: row.Pos, Token: row.Token, Vocab: p.vocab,
			})
		}
	}
	w := &p.dev.work
	h := newHidden(&p.dev.pool, len(b.Rows), p.hidden)
	w.rows.take(b)
	w.embed, w.x, w.width = p, h.data, p.hidden
	if len(w.rows.at) < len(b.Rows) {
		clear(h.data) // rows that nobody computes must not hold another batch's values
	}
	if err := p.dev.team.do(ctx, w.calls.embed); err != nil {
		h.Release()
		return nil, err
	}
	w.rows.fail("embed", p.dev.info.Name, w.residual)
	return h, nil
}

// Close gives the embedding back.
func (p *embed) Close() error { return p.dev.unload(p) }

func (p *embed) free() { p.held.release() }

// embedRows decodes the rows of compact rows [lo, hi).
func (w *workspace) embedRows(_, lo, hi int) {
	t := w.embed.table
	for i := lo; i < hi; i++ {
		x := w.residual(i)
		t.codec.Decode(x, t.data, t.rows, t.cols, int(w.rows.batch.Rows[w.rows.at[i]].Token))
		if s := w.embed.scale; s != 0 {
			for j := range x {
				x[j] *= s
			}
		}
		w.rows.check(i, x)
	}
}

// residual is compact row i of the residual stream.
func (w *workspace) residual(i int) []float32 {
	at := int(w.rows.at[i])
	return w.x[at*w.width : (at+1)*w.width]
}
