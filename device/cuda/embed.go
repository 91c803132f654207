//go:build cuda

package cuda

import (
	"context"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/gguf"
	"tritflow/graph"
	"tritflow/quantkern"
)

// embed is the loaded embedding: on the GPU where its values are whole floats, else in
// the mapped file, from which the host decodes the rows of a step.
type embed struct {
	g      *gpu
	held   holding
	table  *tensor
	codec  *quantkern.Codec
	weight *gguf.Tensor
	mapped int64 // bytes that the ledger counts
	hidden int
	vocab  int
	few    fewRowsOf // of the step at hand, used on the queue alone
}

// lookupThreads are many, for a row or few at a time.
const lookupThreads = 1024

// floatKinds is how many of denseTypes are floats that need no decoding.
const floatKinds = 3

func loadEmbed(ctx context.Context, g *gpu, e *graph.Embed) (device.Embed, error) {
	if err := refuseEmbed(g.info.Name, e); err != nil {
		return nil, err
	}
	p := &embed{g: g, held: holding{g: g}, weight: e.Weight, hidden: e.Hidden, vocab: e.Vocab}
	loaded, err := load(ctx, g, "the embedding", p, func(p *embed) error {
		return gguf.Guard(func() (err error) {
			if p.codec, err = g.codec(e.Weight, e.Vocab, e.Hidden); err != nil {
				return err
			}
			if k := kindOf(p.codec); k >= 0 && k < floatKinds {
				p.table, err = p.held.dense(e.Weight, e.Vocab, e.Hidden)
			} else {
				p.mapped = int64(len(e.Weight.Data))
				g.ledger.Add(device.Mapped, p.mapped)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return loaded, nil
}

// Forward looks the rows up. A token outside the vocabulary fails its sequence with a
// *device.TokenError.
func (p *embed) Forward(ctx context.Context, b *device.Batch, done device.Worked) (device.Hidden, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	if err := p.g.ready(ctx, p); err != nil {
		return nil, err
	}
	for i, row := range b.Rows {
		if row.Token < 0 || int(row.Token) >= p.vocab {
			b.Fail(row.Seq, &device.TokenError{
				Sequence: b.Seqs[row.Seq].ID, Row: i, Pos: row.Pos, Token: row.Token, Vocab: p.vocab,
			})
		}
	}
	t := newTables(b, 0)
	if p.table == nil {
		if err := p.decode(t); err != nil {
			return nil, err
		}
	}
	var h *hidden
	var err error
	if perr := p.g.queue.post(func() {
		if h = p.g.claim(p, b); h != nil {
			h.given.embedded.claim(done)
			return
		}
		if h, err = p.g.hidden(len(b.Rows), p.hidden); err != nil {
			return
		}
		h.embed = p
		h.err = p.g.timed(done, func() error { return p.run(t, h) })
	}); perr != nil {
		return nil, perr
	}
	if err != nil {
		return nil, err
	}
	return h, nil
}

// decode adds the rows' values to the tables.
func (p *embed) decode(t *tables) error {
	return gguf.Guard(func() error {
		row := make([]float32, p.hidden)
		for i := range t.rows {
			clear(row)
			if w := t.words[i*rowWords:]; w[0] >= 0 {
				p.codec.Decode(row, p.weight.Data, p.vocab, p.hidden, int(w[2]))
			}
			t.add(wordsOf(row)...)
		}
		return nil
	})
}

func (p *embed) run(t *tables, h *hidden) error {
	if t.rows == 0 {
		return nil
	}
	if p.table != nil && t.rows <= embedMost {
		return p.lookup(t, 0, h, brought{})
	}
	at, err := p.g.upload(t)
	if err != nil {
		return err
	}
	if p.table == nil {
		from := at.Offset(int64(4 * t.rows * rowWords))
		if err := p.g.stream.CopyAsync(h.values(), from, int64(4*t.rows*p.hidden)); err != nil {
			return p.g.fail("copying embeddings", err)
		}
		return p.g.fail("checking embeddings", p.g.kern.checkRows.run(p.g.stream, driver.Dim{X: t.rows}, 256, 0, false,
			at, h.values(), h.bad(), p.hidden))
	}
	return p.g.fail("looking up embeddings", p.g.kern.embedRows.run(p.g.stream, driver.Dim{X: t.rows}, 256, 0, false,
		at, p.table.mem.ptr, p.table.kind, h.values(), h.bad(), p.hidden))
}

// lookup is run for few rows. With ids, the tokens of t are indices into these. The kernel also brings
// words, the tables of the step.
func (p *embed) lookup(t *tables, ids driver.Ptr, h *hidden, w brought) error {
	copy(bytesOf(p.few[:]), bytesOf(t.words[:t.rows*rowWords]))
	copy(bytesOf(p.few[2*embedMost:]), bytesOf(w.along))
	return p.g.fail("looking up embeddings", p.g.kern.embedFew.run(p.g.stream, driver.Dim{X: t.rows}, lookupThreads, 0, false,
		&p.few, ids, p.vocab, w.from, w.to, w.words, p.table.mem.ptr, p.table.kind, h.values(), h.bad(), p.hidden))
}

// Close gives the embedding back.
func (p *embed) Close() error { return p.g.unload(p) }

func (p *embed) free() {
	p.g.ledger.Add(device.Mapped, -p.mapped)
	p.held.release()
}
