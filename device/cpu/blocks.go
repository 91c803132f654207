package cpu

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

// blocks are consecutive blocks loaded as one part.
type blocks struct {
	dev  *cpuDevice
	held holding
	kv   device.KV
	list []*block
	call func(ctx context.Context) error // run, bound once
}

// LoadBlocks takes the weights of blocks over in place and plans their KV pages.
// A KV cache that cannot be is a *device.KVError.
func (d *cpuDevice) LoadBlocks(ctx context.Context, list []graph.Block, kv device.KV) (device.Blocks, error) {
	if err := d.checkKV(kv); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, &device.BatchError{Reason: "a part without blocks"}
	}
	p := &blocks{dev: d, held: holding{all: &d.weights}, kv: kv}
	p.call = p.run
	what := fmt.Sprintf("blocks %d to %d", list[0].Index, list[len(list)-1].Index)
	return load(ctx, d, what, p, func(p *blocks) error {
		return gguf.Guard(func() error {
			for i := range list {
				if err := ctx.Err(); err != nil {
					return err
				}
				b, err := p.held.block(&list[i], kv)
				if err != nil {
					return err
				}
				p.list = append(p.list, b)
			}
			return nil
		})
	})
}

func (d *cpuDevice) checkKV(kv device.KV) error {
	switch {
	case !slices.Contains(d.info.KVTypes, kv.Type):
		return &device.KVError{Device: d.info.Name, Type: kv.Type, Reason: "unknown type; the CPU device has " + strings.Join(d.info.KVTypes, ", ")}
	case kv.PageSize < 1 || kv.Pages < 1:
		return &device.KVError{Device: d.info.Name, Type: kv.Type, Reason: fmt.Sprintf("%d pages of %d positions hold nothing", kv.Pages, kv.PageSize)}
	}
	return nil
}

// Forward runs the blocks in place: the handle that comes back is x's. A
// sequence whose page table does not serve fails with a *device.PageError, one
// whose values are no longer finite with a *device.NumericError.
func (p *blocks) Forward(ctx context.Context, b *device.Batch, x device.Hidden, done device.Worked) (device.Hidden, error) {
	h, err := p.dev.adopt(ctx, x)
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
	if err := checkShape(b, h, p.list[0].spec.Hidden); err != nil {
		return err
	}
	start, err := p.dev.begin(ctx, p)
	if err != nil {
		return err
	}
	defer p.dev.end(start, done)
	for i := range b.Seqs {
		if b.Seqs[i].Err != nil {
			continue
		}
		if err := b.CheckPages(i, p.dev.info.Name, p.kv); err != nil {
			b.Fail(int32(i), err)
		}
	}
	w := &p.dev.work
	w.rows.take(b)
	w.x, w.width = h.data, h.width
	if err := p.dev.team.do(ctx, p.call); err != nil {
		return err
	}
	return nil
}

// run works through the blocks.
func (p *blocks) run(ctx context.Context) error {
	w := &p.dev.work
	b := w.rows.batch
	for _, blk := range p.list {
		if len(w.rows.at) == 0 {
			return nil
		}
		if err := w.forward(ctx, blk); err != nil {
			return err
		}
		if w.rows.fail(blk.stage, p.dev.info.Name, w.residual) {
			w.rows.take(b)
		}
	}
	return nil
}

// Close gives weights and pages back.
func (p *blocks) Close() error { return p.dev.unload(p) }

func (p *blocks) free() {
	for _, b := range p.list {
		p.dev.ledger.Add(device.KVCache, -b.kvBytes.Swap(0))
		b.kv = nil
	}
	p.held.release()
}
