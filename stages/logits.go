package stages

import (
	"context"
	"fmt"
	"iter"

	"tritflow/device"
)

// slabs is how many chunks of logits a consumer may be behind.
const slabs = 2

// probe is the task of Logits: hand out the full logits of every position.
type probe struct {
	vocab int
	left  int // positions not yet handed out
	out   *outlet[[]float32]
}

func (p *probe) every() bool { return true }

func (p *probe) output(row int32) device.Output { return device.Output{Row: row, Full: true} }

// consume copies rows, which are the device's and valid only for now.
func (p *probe) consume(l device.Logits, lo, hi int) (answer, error) {
	rows := make([]float32, 0, (hi-lo)*p.vocab)
	for i := lo; i < hi; i++ {
		scores, err := l.Row(i)
		if err != nil {
			return answer{}, err
		}
		if len(scores.Full) != p.vocab {
			return answer{}, fmt.Errorf("stages: the head answered with %d logits, the vocabulary has %d", len(scores.Full), p.vocab)
		}
		rows = append(rows, scores.Full...)
	}
	a := answer{rows: rows}
	if p.left -= hi - lo; p.left == 0 {
		a.done = FinishStop
	}
	return a, nil
}

func (p *probe) room(underWay int) bool { return p.out.room(underWay) }

func (p *probe) drained(owed int) bool { return p.out.drained(owed) }

func (p *probe) deliver(a answer) { p.out.put(a.rows) }

func (p *probe) end(_ Finish, err error) { p.out.close(err) }

// Logits runs tokens through the network and yields each position's logits
// (valid until the next), through the same stages as every request. step: one
// token a forward pass; the values are the same.
func (e *Engine) Logits(ctx context.Context, tokens []int32, step bool) iter.Seq2[[]float32, error] {
	return e.core.logits(ctx, tokens, step)
}

func (c *core) logits(ctx context.Context, tokens []int32, step bool) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		if ctx == nil {
			yield(nil, ErrNoContext)
			return
		}
		if err := c.speaks(); err != nil {
			yield(nil, err)
			return
		}
		ids, err := c.encode(&Request{Tokens: tokens}, c.pipe.limits.ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		p := &probe{vocab: c.ids, left: len(ids), out: newOutlet[[]float32](slabs, c.pipe.poke)}
		q := newSequence(ctx, bounds{}, c.pipe.ended)
		q.begin(p, ids, len(ids))
		if step {
			q.maxRows = 1
		}
		if err := c.pipe.submit(q, true); err != nil {
			q.release()
			yield(nil, err)
			return
		}
		over := false
		defer q.leave(&over)
		for {
			slab, ok := p.out.next()
			if !ok {
				break
			}
			for ; len(slab) > 0; slab = slab[p.vocab:] {
				if !yield(slab[:p.vocab:p.vocab], nil) {
					return
				}
			}
		}
		over = true
		if p.out.err != nil {
			yield(nil, p.out.err)
		}
	}
}
