package devtest

import (
	"context"
	"errors"

	"tritflow/device"
	"tritflow/graph"
)

// Part is one loaded part of a model and the device it lives on. Exactly one
// of Embed, Blocks and Head is set.
type Part struct {
	Device device.Device
	Embed  device.Embed
	Blocks device.Blocks
	Head   device.Head
}

// Close closes the part, not its device.
func (p Part) Close() error {
	switch {
	case p.Embed != nil:
		return p.Embed.Close()
	case p.Blocks != nil:
		return p.Blocks.Close()
	default:
		return p.Head.Close()
	}
}

// Load loads a model contiguously over devices, in pipeline order: the
// embedding on the first, equal shares of the blocks on each, the head on the
// last. A device that wants its blocks fused gets them as one part, others get
// a part a block. When it fails, nothing stays loaded.
func Load(ctx context.Context, m *graph.Model, kv device.KV, devs ...device.Device) (parts []Part, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, Close(parts))
			parts = nil
		}
	}()
	embed, err := devs[0].LoadEmbed(ctx, &m.Embed)
	if err != nil {
		return nil, err
	}
	parts = append(parts, Part{Device: devs[0], Embed: embed})
	for i, dev := range devs {
		share := m.Blocks[i*len(m.Blocks)/len(devs) : (i+1)*len(m.Blocks)/len(devs)]
		size := 1
		if dev.Info().FuseBlocks {
			size = len(share)
		}
		for ; len(share) > 0; share = share[size:] {
			blocks, err := dev.LoadBlocks(ctx, share[:size], kv)
			if err != nil {
				return parts, err
			}
			parts = append(parts, Part{Device: dev, Blocks: blocks})
		}
	}
	last := devs[len(devs)-1]
	head, err := last.LoadHead(ctx, &m.Head)
	if err != nil {
		return parts, err
	}
	return append(parts, Part{Device: last, Head: head}), nil
}

// Close closes parts.
func Close(parts []Part) error {
	var errs []error
	for _, p := range parts {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// Forward runs a batch through all parts of a model, one after the other, each
// on its device. The caller releases the logits; failures of single sequences
// are in b.Seqs.
func Forward(ctx context.Context, parts []Part, b *device.Batch) (device.Logits, error) {
	x, head, err := ForwardHidden(ctx, parts, b)
	if err != nil {
		return nil, err
	}
	return head.Forward(ctx, b, x, nil)
}

// ForwardHidden runs a batch through all parts but the head and returns the
// residual stream on the head's device, which the caller hands to the head or
// releases.
func ForwardHidden(ctx context.Context, parts []Part, b *device.Batch) (x device.Hidden, head device.Head, err error) {
	for _, p := range parts {
		if x != nil {
			if x, err = p.Device.Import(ctx, x); err != nil {
				return nil, nil, err
			}
		}
		switch {
		case p.Embed != nil:
			x, err = p.Embed.Forward(ctx, b, nil)
		case p.Blocks != nil:
			x, err = p.Blocks.Forward(ctx, b, x, nil)
		default:
			return x, p.Head, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errors.New("devtest: the parts have no head")
}

// Chunk is a run of consecutive tokens of one sequence.
type Chunk struct {
	ID     uint64
	Pages  []int32 // page table, as device.Seq has it
	Pos    int     // position of the first token
	Tokens []int32
}

// NewBatch puts chunks of different sequences into one batch and asks every
// row for what out says (Row is filled in).
func NewBatch(out device.Output, chunks ...Chunk) *device.Batch {
	b := &device.Batch{}
	for i, c := range chunks {
		b.Seqs = append(b.Seqs, device.Seq{ID: c.ID, First: len(b.Rows), N: len(c.Tokens), Pages: c.Pages})
		for j, token := range c.Tokens {
			out.Row = int32(len(b.Rows))
			b.Rows = append(b.Rows, device.Row{Seq: int32(i), Pos: int32(c.Pos + j), Token: token})
			b.Outputs = append(b.Outputs, out)
		}
	}
	return b
}
