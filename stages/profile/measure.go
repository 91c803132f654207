package profile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tritflow/device"
	"tritflow/graph"
)

const (
	// cacheBytes of weights are read by turns, so that none is found in a cache.
	cacheBytes = 256 << 20
	pageSize   = 32
	longPrompt = 256                    // rows of the largest Step
	patience   = 150 * time.Millisecond // for each number of rows
	least      = 2                      // passes
	enough     = 20                     // passes
	sequences  = 32                     // most rows that are of a sequence each; more are a prompt
)

var (
	rowCounts    = []int{1, 2, 4, 8, 16, 32, 64, 128, longPrompt}
	answerCounts = []int{1, 4, 16, 32}
)

// Measure runs parts of the model on each device, alone and, where several are
// given, all at once. It takes a second or two a device, and loads what it
// measures for that time.
func Measure(ctx context.Context, m *graph.Model, devs []device.Device, kvType string) (*Set, error) {
	s := &Set{Alone: make([]Profile, len(devs))}
	for i, d := range devs {
		// Equal devices are measured once.
		if j := slices.IndexFunc(devs[:i], func(o device.Device) bool { return same(o.Info(), d.Info()) }); j >= 0 {
			s.Alone[i] = s.Alone[j]
			continue
		}
		p, err := measure(ctx, m, d, kvType)
		if err != nil {
			return nil, fmt.Errorf("profile: measuring %s: %w", d.Info().Name, err)
		}
		s.Alone[i] = *p
	}
	hosts := 0
	for _, d := range devs {
		if d.Info().HostMemory {
			hosts++
		}
	}
	s.Together = slices.Clone(s.Alone)
	if hosts < 2 {
		return s, nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, d := range devs {
		if !d.Info().HostMemory {
			continue
		}
		group.Go(func() error {
			p, err := measure(ctx, m, d, kvType)
			if err != nil {
				return fmt.Errorf("profile: measuring %s: %w", d.Info().Name, err)
			}
			s.Together[i] = *p
			return nil
		})
	}
	return s, group.Wait()
}

func same(a, b device.Info) bool {
	return a.Kind == b.Kind && a.Model == b.Model && a.Tier == b.Tier && a.Workers == b.Workers && a.Workers > 0
}

// meter is a model, or enough of it, on one device.
type meter struct {
	embed  device.Embed
	blocks []device.Blocks
	count  float64 // blocks loaded, of average size
	head   device.Head
	held   []io.Closer
}

func measure(ctx context.Context, m *graph.Model, d device.Device, kvType string) (p *Profile, err error) {
	t := &meter{}
	defer func() {
		for _, c := range slices.Backward(t.held) {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := t.load(ctx, m, d, kvType); err != nil {
		return nil, err
	}
	p = &Profile{}
	for _, n := range rowCounts {
		b := batchOf(m.Vocab, n, n > sequences)
		blocks, embed, err := t.rows(ctx, b)
		if err != nil {
			return nil, err
		}
		p.Block.Rows = append(p.Block.Rows, n)
		p.Block.Seconds = append(p.Block.Seconds, blocks)
		p.Embed = embed / float64(n)
	}
	// The pages of the first sequence are full now.
	late := batchOf(m.Vocab, 1, true)
	late.Rows[0].Pos = longPrompt - 1
	at, _, err := t.rows(ctx, late)
	if err != nil {
		return nil, err
	}
	p.Attend = max(0, at-p.Block.Seconds[0]) / (longPrompt - 1)
	for i, n := range rowCounts {
		if n > sequences { // what a prompt spends on attention is not the rows' own
			p.Block.Seconds[i] = max(p.Block.Seconds[i]-p.Attend*float64(n*n)/2, p.Block.Seconds[i-1])
		}
	}
	p.Block.smooth()
	return p, t.answers(ctx, m, d, p)
}

// smooth takes out what disturbances added: more rows never take less time.
func (c Curve) smooth() {
	for i := len(c.Seconds) - 2; i >= 0; i-- {
		c.Seconds[i] = min(c.Seconds[i], c.Seconds[i+1])
	}
}

// load brings the embedding and blocks to the device.
func (t *meter) load(ctx context.Context, m *graph.Model, d device.Device, kvType string) error {
	embed, err := d.LoadEmbed(ctx, &m.Embed)
	if err != nil {
		return err
	}
	t.embed, t.held = embed, append(t.held, embed)
	var bytes, total uint64
	n := 0
	for i := range m.Blocks {
		size := m.Blocks[i].WeightBytes()
		if total += size; bytes < cacheBytes {
			bytes += size
			n++
		}
	}
	t.count = float64(bytes) / float64(total) * float64(len(m.Blocks))
	kv := device.KV{Type: kvType, PageSize: pageSize, Pages: longPrompt/pageSize + sequences}
	each := 1
	if d.Info().FuseBlocks {
		each = n
	}
	for i := 0; i < n; i += each {
		b, err := d.LoadBlocks(ctx, m.Blocks[i:min(i+each, n)], kv)
		if err != nil {
			return err
		}
		t.blocks, t.held = append(t.blocks, b), append(t.held, b)
	}
	return nil
}

// batchOf makes a batch of n rows: one prompt, or the first rows of n sequences.
func batchOf(vocab, n int, prompt bool) *device.Batch {
	b := &device.Batch{}
	const own = longPrompt / pageSize // pages of the prompt
	for i := range n {
		row := device.Row{Token: int32((i*7919 + 13) % max(vocab, 1))}
		if prompt {
			row.Pos = int32(i)
		} else {
			row.Seq = int32(i)
			b.Seqs = append(b.Seqs, device.Seq{ID: uint64(i + 1), First: i, N: 1, Pages: []int32{int32(own + i)}})
		}
		b.Rows = append(b.Rows, row)
	}
	if prompt {
		s := device.Seq{ID: 1, N: n}
		for i := range own {
			s.Pages = append(s.Pages, int32(i))
		}
		b.Seqs = append(b.Seqs, s)
	}
	return b
}

// rows measures a batch: seconds of an average block, and of the embedding.
func (t *meter) rows(ctx context.Context, b *device.Batch) (block, embed float64, err error) {
	var embeds []float64
	blocks, err := repeat(ctx, func() (time.Duration, error) {
		start := time.Now()
		x, err := t.embed.Forward(ctx, b, func(_, _ time.Time) {})
		if err != nil {
			return 0, err
		}
		embeds = append(embeds, time.Since(start).Seconds())
		x, took, err := t.pass(ctx, b, x)
		if err != nil {
			return 0, err
		}
		x.Release()
		return took, nil
	})
	return blocks / max(t.count, 1e-9), slices.Min(append(embeds, 1)), err
}

// pass runs the blocks and waits for them.
func (t *meter) pass(ctx context.Context, b *device.Batch, x device.Hidden) (device.Hidden, time.Duration, error) {
	start := time.Now()
	ends := make(chan time.Time, len(t.blocks))
	for _, p := range t.blocks {
		var err error
		if x, err = p.Forward(ctx, b, x, func(_, end time.Time) { ends <- end }); err != nil {
			return nil, 0, err
		}
	}
	var last time.Time
	for range t.blocks {
		if end := <-ends; end.After(last) {
			last = end
		}
	}
	for i := range b.Seqs {
		if err := b.Seqs[i].Err; err != nil {
			x.Release()
			return nil, 0, err
		}
	}
	return x, last.Sub(start), nil
}

// repeat runs fn for a while and returns the median of the faster half of its
// times, in seconds.
func repeat(ctx context.Context, fn func() (time.Duration, error)) (float64, error) {
	if _, err := fn(); err != nil { // what is made on first use
		return 0, err
	}
	var took []float64
	for start := time.Now(); len(took) < least || len(took) < enough && time.Since(start) < patience; {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		d, err := fn()
		if err != nil {
			return 0, err
		}
		took = append(took, d.Seconds())
	}
	slices.Sort(took)
	return took[len(took)/4], nil
}

// answers measures the head, with a screening copy too where the device would make one.
func (t *meter) answers(ctx context.Context, m *graph.Model, d device.Device, p *Profile) error {
	var err error
	if p.Head, err = t.curve(ctx, m, d); err != nil {
		return err
	}
	estimator, ok := d.(device.Estimator)
	screener, ok2 := d.(device.Screener)
	if !ok || !ok2 {
		return nil
	}
	f, err := estimator.Estimate(device.Part{Head: &m.Head}, device.Sizes{})
	if err != nil || f.Screening == 0 {
		return err
	}
	if err := screener.SetScreening(device.ScreenNow); err != nil {
		return err
	}
	p.Screened, err = t.curve(ctx, m, d)
	return errors.Join(err, screener.SetScreening(device.ScreenAuto))
}

// curve measures a head that is loaded for it.
func (t *meter) curve(ctx context.Context, m *graph.Model, d device.Device) (c Curve, err error) {
	head, err := d.LoadHead(ctx, &m.Head)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, head.Close()) }()
	for _, n := range answerCounts {
		b := batchOf(m.Vocab, n, false)
		for i := range n {
			b.Outputs = append(b.Outputs, device.Output{Row: int32(i), TopK: 1})
		}
		s, err := repeat(ctx, func() (time.Duration, error) {
			x, err := t.embed.Forward(ctx, b, func(_, _ time.Time) {})
			if err != nil {
				return 0, err
			}
			if x, _, err = t.pass(ctx, b, x); err != nil {
				return 0, err
			}
			start := time.Now()
			l, err := head.Forward(ctx, b, x, func(_, _ time.Time) {})
			if err != nil {
				return 0, err
			}
			_, err = l.Row(n - 1)
			took := time.Since(start)
			l.Release()
			return took, err
		})
		if err != nil {
			return c, err
		}
		c.Rows, c.Seconds = append(c.Rows, n), append(c.Seconds, s)
	}
	c.smooth()
	return c, nil
}
