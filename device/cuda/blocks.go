//go:build cuda

package cuda

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/gguf"
	"tritflow/graph"
)

// blocks are consecutive blocks loaded as one part.
type blocks struct {
	g      *gpu
	held   holding
	kv     device.KV
	hidden int
	list   []*block
	graphs graphs
	spans  *span // nil: always a kernel after the other
	sizes  scratchSizes
	ran    uint64 // steps so far
}

// loadBlocks copies weights and takes memory for the pages of all blocks.
func loadBlocks(ctx context.Context, g *gpu, list []graph.Block, kv device.KV) (device.Blocks, error) {
	if err := g.checkKV(kv); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, &device.BatchError{Reason: "a part without blocks"}
	}
	p := &blocks{g: g, held: holding{g: g}, kv: kv, hidden: list[0].Hidden}
	what := fmt.Sprintf("blocks %d to %d", list[0].Index, list[len(list)-1].Index)
	loaded, err := load(ctx, g, what, p, func(p *blocks) error {
		return gguf.Guard(func() error {
			if err := p.reserve(list); err != nil {
				return err
			}
			for i := range list {
				if err := ctx.Err(); err != nil {
					return err
				}
				b, err := p.held.block(&list[i], kv)
				if err != nil {
					return err
				}
				p.list = append(p.list, b)
				p.sizes.fit(&b.spec, b.qkv.real || b.o.real || b.expand.real || b.down.real, !b.product)
			}
			var err error
			p.spans, err = p.span()
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return loaded, nil
}

// reserve takes what weights and pages of all blocks need.
func (p *blocks) reserve(list []graph.Block) error {
	e, pages := newEstimate(p.g), int64(0)
	if _, err := e.blocks(list, 0); err != nil {
		return err
	}
	for i := range list {
		_, k, v, err := p.g.keeps(&list[i], p.kv)
		if err != nil {
			return err
		}
		pages += grains(k) + grains(v)
	}
	name := fmt.Sprintf("blk.%d to blk.%d", list[0].Index, list[len(list)-1].Index)
	if err := p.held.reserve(device.Weights, "weights of "+name, e.own); err != nil {
		return err
	}
	return p.held.reserve(device.KVCache, "KV pages of "+name, pages)
}

func (g *gpu) checkKV(kv device.KV) error {
	switch {
	case !slices.Contains(g.info.KVTypes, kv.Type):
		return &device.KVError{Device: g.info.Name, Type: kv.Type, Reason: "unknown type; this GPU has " + strings.Join(g.info.KVTypes, ", ")}
	case kv.PageSize < 1 || kv.Pages < 1:
		return &device.KVError{Device: g.info.Name, Type: kv.Type, Reason: fmt.Sprintf("%d pages of %d positions hold nothing", kv.Pages, kv.PageSize)}
	}
	return nil
}

// Forward puts the blocks' work into the stream and returns x's own handle. A sequence
// whose page table does not serve fails here with a *device.PageError; one whose values
// stop being finite when the head looks at them.
func (p *blocks) Forward(ctx context.Context, b *device.Batch, x device.Hidden, done device.Worked) (device.Hidden, error) {
	h, err := p.g.adopt(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := p.forward(ctx, b, h, done); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

func (p *blocks) forward(ctx context.Context, b *device.Batch, h *hidden, done device.Worked) error {
	if err := b.Check(); err != nil {
		return err
	}
	if err := checkShape(b, h, p.hidden); err != nil {
		return err
	}
	if err := p.g.ready(ctx, p); err != nil {
		return err
	}
	for i := range b.Seqs {
		if b.Seqs[i].Err != nil {
			continue
		}
		if err := b.CheckPages(i, p.g.info.Name, p.kv); err != nil {
			b.Fail(int32(i), err)
		}
	}
	return p.g.queue.post(func() {
		if h.err == nil && h.given.goesThrough(p, b) {
			h.given.passed.claim(done)
			return
		}
		if h.err == nil {
			h.err = h.own()
		}
		if h.err != nil {
			if done != nil {
				p.g.skipped(done)
			}
			return
		}
		if h.blocks != nil {
			h.embed = nil
		}
		h.blocks = p
		t := newTables(b, p.kv.PageSize)
		h.err = p.g.timed(done, func() error { return p.run(t, h) })
	})
}

// run puts a step into the stream, as a captured graph where one is there. On the queue.
func (p *blocks) run(t *tables, h *hidden) error {
	if t.rows == 0 {
		return nil
	}
	at, err := p.g.upload(t)
	if err != nil {
		return err
	}
	return p.runAt(t, at, h)
}

// runAt is run for tables that are on the GPU.
func (p *blocks) runAt(t *tables, at driver.Ptr, h *hidden) error {
	p.ran++
	last := 0
	for r := range t.rows {
		last = max(last, int(t.words[r*rowWords+1]))
	}
	for _, b := range p.list {
		if b.turn != nil {
			if err := b.turn.reach(last + 1); err != nil {
				return err
			}
		}
	}
	s := step{tables: t, at: at, h: h}
	if p.spans.takes(t) {
		return p.runSpan(&s)
	}
	var err error
	if s.space, err = p.sizes.place(p.g, t); err != nil {
		return err
	}
	return p.graphs.run(p.g, &s, p.list[0].cluster(p.g, &s), func() error {
		for i, b := range p.list {
			if err := p.g.forward(b, &s, i > 0); err != nil {
				return fmt.Errorf("cuda: blk.%d: %w", b.spec.Index, err)
			}
		}
		return nil
	})
}

// Close gives weights and pages back.
func (p *blocks) Close() error { return p.g.unload(p) }

func (p *blocks) free() {
	p.graphs.drop(p.g)
	if p.spans != nil {
		p.spans.drop()
	}
	p.held.release()
}
