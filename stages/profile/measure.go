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
	// mostBytes of weights are loaded: what is left out, larger models repeat.
	mostBytes = 1 << 30
	// cacheBytes of weights are enough where it is arithmetic that takes the time.
	cacheBytes = 96 << 20
	fewRows    = 16 // up to so many rows it is not
	pageSize   = 32
	longPrompt = 256                    // rows of the largest Step
	sweeps     = 2                      // times that everything is measured
	patience   = 100 * time.Millisecond // for each number of rows
	least      = 2                      // passes
	enough     = 20                     // passes
	sequences  = 32                     // most rows that are of a sequence each; more are a prompt
)

var (
	rowCounts    = []int{1, 2, 4, 8, 16, 32, 64, 128, longPrompt}
	answerCounts = []int{1, 4, 16} // without a screening copy, where there is one
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
	embed    device.Embed
	blocks   []device.Blocks
	sizes    []float64 // of them, in blocks of average size
	small    int       // so many of them are enough where arithmetic takes the time
	plain    device.Head
	screened device.Head // nil where the device makes no copy
	held     []io.Closer
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
	if err := t.heads(ctx, m, d); err != nil {
		return nil, err
	}
	for range sweeps {
		again, err := t.sweep(ctx, m.Vocab)
		if err != nil {
			return nil, err
		}
		if p == nil {
			p = again
		}
		p.fastest(again)
	}
	return p, nil
}

// fastest keeps the smaller of two times for everything: the other was disturbed.
func (p *Profile) fastest(o *Profile) {
	p.Embed, p.Attend = min(p.Embed, o.Embed), min(p.Attend, o.Attend)
	for _, c := range [][2]Curve{{p.Block, o.Block}, {p.Head, o.Head}, {p.Screened, o.Screened}} {
		for i := range c[0].Seconds {
			c[0].Seconds[i] = min(c[0].Seconds[i], c[1].Seconds[i])
		}
	}
}

// sweep measures everything once.
func (t *meter) sweep(ctx context.Context, vocab int) (*Profile, error) {
	p := &Profile{}
	head, curve := t.plain, &p.Head
	if t.screened != nil {
		head, curve = t.screened, &p.Screened
	}
	for _, n := range rowCounts {
		use := len(t.blocks)
		if n > fewRows {
			use = t.small
		}
		own := n <= sequences
		if !own {
			head = nil
		}
		took, err := t.tour(ctx, batchOf(vocab, n, !own), use, head)
		if err != nil {
			return nil, err
		}
		p.Block.add(n, took.blocks)
		if own {
			curve.add(n, took.head)
		}
		p.Embed = took.embed / float64(n)
	}
	// The pages of the first sequence are full now, in the blocks that long
	// prompts go through.
	row := batchOf(vocab, 1, true)
	early, err := t.tour(ctx, row, t.small, nil)
	if err != nil {
		return nil, err
	}
	row.Rows[0].Pos = longPrompt - 1
	late, err := t.tour(ctx, row, t.small, nil)
	if err != nil {
		return nil, err
	}
	p.Attend = max(0, late.blocks-early.blocks) / (longPrompt - 1)
	for i, n := range rowCounts {
		if n > sequences { // what a prompt spends on attention is not the rows' own
			p.Block.Seconds[i] = max(p.Block.Seconds[i]-p.Attend*float64(n*n)/2, p.Block.Seconds[i-1])
		}
	}
	for _, n := range answerCounts {
		if t.screened == nil {
			break
		}
		took, err := t.tour(ctx, batchOf(vocab, n, false), t.small, t.plain)
		if err != nil {
			return nil, err
		}
		p.Head.add(n, took.head)
	}
	for _, c := range []Curve{p.Block, p.Head, p.Screened} {
		c.smooth()
	}
	return p, nil
}

func (c *Curve) add(rows int, seconds float64) {
	c.Rows, c.Seconds = append(c.Rows, rows), append(c.Seconds, seconds)
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
		if total += size; bytes < mostBytes {
			bytes += size
			n++
		}
	}
	average := float64(total) / float64(len(m.Blocks))
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
		size := uint64(0)
		for j := i; j < min(i+each, n); j++ {
			size += m.Blocks[j].WeightBytes()
		}
		t.sizes = append(t.sizes, float64(size)/average)
		if sum(t.sizes[:t.small])*average < cacheBytes {
			t.small++
		}
	}
	return nil
}

func sum(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
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

// times are the seconds of one way through the parts.
type times struct {
	embed, blocks, head float64 // blocks: of an average one
}

// tour sends a batch through embedding, the first blocks and, unless it is nil,
// a head, for a while, and returns the median of the faster half of the times.
func (t *meter) tour(ctx context.Context, b *device.Batch, use int, head device.Head) (times, error) {
	if head != nil {
		for i := range b.Rows {
			b.Outputs = append(b.Outputs, device.Output{Row: int32(i), TopK: 1})
		}
	}
	if _, err := t.pass(ctx, b, use, head); err != nil { // what is made on first use
		return times{}, err
	}
	var embed, blocks, answer []float64
	for start := time.Now(); len(blocks) < least || len(blocks) < enough && time.Since(start) < patience; {
		if err := ctx.Err(); err != nil {
			return times{}, context.Cause(ctx)
		}
		p, err := t.pass(ctx, b, use, head)
		if err != nil {
			return times{}, err
		}
		embed, blocks, answer = append(embed, p.embed), append(blocks, p.blocks), append(answer, p.head)
	}
	fast := func(x []float64) float64 {
		slices.Sort(x)
		return x[len(x)/4]
	}
	return times{fast(embed), fast(blocks) / max(sum(t.sizes[:use]), 1e-9), fast(answer)}, nil
}

// pass is one way through the parts. As in a pipeline, every part is called by
// a goroutine of its own: handing on takes time too.
func (t *meter) pass(ctx context.Context, b *device.Batch, use int, head device.Head) (took times, err error) {
	start := time.Now()
	x, err := t.embed.Forward(ctx, b, func(_, _ time.Time) {})
	if err != nil {
		return took, err
	}
	last := time.Now()
	took.embed = last.Sub(start).Seconds()
	start = last
	for _, p := range t.blocks[:use] {
		end := make(chan time.Time, 1)
		called := make(chan error)
		go func() {
			var err error
			x, err = p.Forward(ctx, b, x, func(_, now time.Time) { end <- now })
			called <- err
		}()
		if err := <-called; err != nil {
			return took, err
		}
		last = <-end
	}
	took.blocks = last.Sub(start).Seconds()
	for i := range b.Seqs {
		if err := b.Seqs[i].Err; err != nil {
			x.Release()
			return took, err
		}
	}
	if head == nil {
		x.Release()
		return took, nil
	}
	start = time.Now()
	l, err := head.Forward(ctx, b, x, func(_, _ time.Time) {})
	if err != nil {
		return took, err
	}
	defer l.Release()
	if _, err := l.Row(len(b.Outputs) - 1); err != nil {
		return took, err
	}
	took.head = time.Since(start).Seconds()
	return took, nil
}

// heads loads the head, and again with a screening copy where the device would
// make one.
func (t *meter) heads(ctx context.Context, m *graph.Model, d device.Device) (err error) {
	load := func() (device.Head, error) {
		h, err := d.LoadHead(ctx, &m.Head)
		if err == nil {
			t.held = append(t.held, h)
		}
		return h, err
	}
	estimator, ok := d.(device.Estimator)
	screener, ok2 := d.(device.Screener)
	if ok && ok2 {
		f, err := estimator.Estimate(device.Part{Head: &m.Head}, device.Sizes{})
		if err != nil {
			return err
		}
		if f.Screening > 0 {
			defer func() { err = errors.Join(err, screener.SetScreening(device.ScreenAuto)) }()
			if err := screener.SetScreening(device.ScreenNow); err != nil {
				return err
			}
			if t.screened, err = load(); err != nil {
				return err
			}
			if err := screener.SetScreening(device.ScreenOff); err != nil {
				return err
			}
		}
	}
	t.plain, err = load()
	return err
}
