package stability

import (
	"context"
	"errors"
	"fmt"

	"tritflow/cmd/tritflow/internal/walk"
	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

const pageSize = 32

// chain runs one prompt through devices, one block a part, block i of n on
// device i·devices/n, so that the residual stream can be read between them.
type chain struct {
	model   *graph.Model
	devices []device.Device
	kv      device.KV
	batch   device.Batch
	hidden  device.Hidden
}

func openChain(m *graph.Model, list, kv string, ids []int32) (*chain, error) {
	devices, err := device.OpenList(list)
	if err != nil {
		return nil, err
	}
	c := &chain{model: m, devices: devices}
	pages := (len(ids) + pageSize - 1) / pageSize
	c.kv = device.KV{Type: kv, PageSize: pageSize, Pages: pages}
	seq := device.Seq{ID: 1, N: len(ids)}
	for p := range pages {
		seq.Pages = append(seq.Pages, int32(p))
	}
	for pos, id := range ids {
		c.batch.Rows = append(c.batch.Rows, device.Row{Pos: int32(pos), Token: id})
		c.batch.Outputs = append(c.batch.Outputs, device.Output{Row: int32(pos), Full: true})
	}
	c.batch.Seqs = []device.Seq{seq}
	return c, nil
}

func (c *chain) close() error {
	if c.hidden != nil {
		c.hidden.Release()
	}
	var errs []error
	for _, d := range c.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// step runs the embedding (-1), a block or the head and gives the residual
// stream or the logits.
func (c *chain) step(ctx context.Context, i int) (values []float32, err error) {
	blocks := len(c.model.Blocks)
	d := c.devices[min(max(i, 0)*len(c.devices)/max(blocks, 1), len(c.devices)-1)]
	err = gguf.Guard(func() error {
		switch i {
		case walk.Outside:
			return c.embed(ctx, d)
		case blocks:
			values, err = c.head(ctx, d)
			return err
		}
		return c.block(ctx, d, i)
	})
	if err == nil {
		err = c.batch.Seqs[0].Err
	}
	if err != nil {
		return nil, fmt.Errorf("stability: %s on %s: %w", stage(i, blocks), d.Info().Name, err)
	}
	if values == nil {
		values = make([]float32, len(c.batch.Rows)*c.model.Hidden)
		err = c.hidden.Host(values)
	}
	return values, err
}

// closing closes a part and keeps an earlier error.
func closing(part interface{ Close() error }, err *error) {
	if cerr := part.Close(); *err == nil {
		*err = cerr
	}
}

func (c *chain) embed(ctx context.Context, d device.Device) (err error) {
	part, err := d.LoadEmbed(ctx, &c.model.Embed)
	if err != nil {
		return err
	}
	defer closing(part, &err)
	c.hidden, err = part.Forward(ctx, &c.batch, nil)
	return err
}

func (c *chain) block(ctx context.Context, d device.Device, i int) (err error) {
	part, err := d.LoadBlocks(ctx, c.model.Blocks[i:i+1], c.kv)
	if err != nil {
		return err
	}
	defer closing(part, &err)
	x := c.hidden
	c.hidden = nil // the device's from here on
	if x, err = d.Import(ctx, x); err != nil {
		return err
	}
	if x, err = part.Forward(ctx, &c.batch, x, nil); err != nil {
		return err
	}
	c.hidden = x
	// Values that are still being computed need the part.
	return x.Host(make([]float32, len(c.batch.Rows)*c.model.Hidden))
}

func (c *chain) head(ctx context.Context, d device.Device) (values []float32, err error) {
	part, err := d.LoadHead(ctx, &c.model.Head)
	if err != nil {
		return nil, err
	}
	defer closing(part, &err)
	x := c.hidden
	c.hidden = nil
	if x, err = d.Import(ctx, x); err != nil {
		return nil, err
	}
	logits, err := part.Forward(ctx, &c.batch, x, nil)
	if err != nil {
		return nil, err
	}
	defer logits.Release()
	for i := range c.batch.Outputs {
		row, err := logits.Row(i)
		if err != nil {
			return nil, err
		}
		values = append(values, row.Full...)
	}
	return values, nil
}
