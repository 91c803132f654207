package stages

import (
	"context"
	"fmt"
	"math"

	"tritflow/device"
	"tritflow/graph"
)

// poolStage is the name of the last stage of a model that pools.
const poolStage = "pool"

// Embedding is what a model of embeddings makes of a text.
type Embedding struct {
	Vector []float32 // Head.Width values, as long as the model makes them
	Tokens int       // of the text
}

// Normalize scales the vector to length 1; one of zeros stays as it is.
func (e Embedding) Normalize() {
	sum := 0.0
	for _, v := range e.Vector {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return
	}
	scale := 1 / math.Sqrt(sum)
	for i, v := range e.Vector {
		e.Vector[i] = float32(float64(v) * scale)
	}
}

// Embed runs a text through a model that pools and waits for its vector. Of the
// request it takes the prompt, NoSpecial, Timeout, Deadline, Priority and
// NoWait. Any number of calls may run at once; they share Steps. Errors are
// those of Submit, and *KindError where the model makes no embeddings.
func (e *Engine) Embed(ctx context.Context, r Request) (Embedding, error) {
	return e.core.embed(ctx, &r)
}

func (c *core) embed(ctx context.Context, r *Request) (Embedding, error) {
	if ctx == nil {
		return Embedding{}, ErrNoContext
	}
	if c.pooling == graph.PoolNone {
		return Embedding{}, &KindError{Asked: "make embeddings", Makes: "text"}
	}
	ids, err := c.encode(r, c.pipe.limits.ctx)
	if err != nil {
		return Embedding{}, err
	}
	p := &pooled{kind: c.pooling, sum: make([]float64, c.width), rows: 1, out: newOutlet[[]float32](1, c.pipe.poke)}
	if p.every() {
		p.rows = len(ids)
	}
	q := newSequence(ctx, bounds{r.Timeout, r.Deadline, r.Priority}, c.pipe.ended)
	q.begin(p, ids, len(ids))
	if err := c.pipe.submit(q, !r.NoWait); err != nil {
		q.release()
		return Embedding{}, err
	}
	vector, _ := p.out.next()
	p.out.drain()
	if p.out.err != nil {
		return Embedding{}, p.out.err
	}
	return Embedding{Vector: vector, Tokens: len(ids)}, nil
}

// pooled is the task of Embed: make one vector of the final activations, in the
// order of positions, so that it does not depend on how a text was cut.
type pooled struct {
	kind graph.Pooling
	sum  []float64 // of the rows seen
	rows int       // that are to be seen
	seen int
	out  *outlet[[]float32]
}

func (p *pooled) every() bool { return p.kind == graph.PoolMean }

func (p *pooled) output(row int32) device.Output { return device.Output{Row: row, Full: true} }

func (p *pooled) consume(l device.Logits, lo, hi int) (answer, error) {
	for i := lo; i < hi; i++ {
		scores, err := l.Row(i)
		if err != nil {
			return answer{}, err
		}
		if len(scores.Full) != len(p.sum) {
			return answer{}, fmt.Errorf("stages: the head answered with %d values, the model has %d", len(scores.Full), len(p.sum))
		}
		for j, v := range scores.Full {
			p.sum[j] += float64(v)
		}
	}
	if p.seen += hi - lo; p.seen < p.rows {
		return answer{}, nil
	}
	vector := make([]float32, len(p.sum))
	for j, v := range p.sum {
		vector[j] = float32(v / float64(p.rows))
	}
	return answer{rows: vector, done: FinishStop}, nil
}

// room: there is one message, and place for it.
func (p *pooled) room(int) bool { return true }

func (p *pooled) drained(int) bool { return true }

func (p *pooled) deliver(a answer) {
	if a.rows != nil {
		p.out.put(a.rows)
	}
}

func (p *pooled) end(_ Finish, err error) { p.out.close(err) }
