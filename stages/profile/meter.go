package profile

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"tritflow/device"
	"tritflow/graph"
)

// meter is a model, or enough of it, on one device.
type meter struct {
	embed    device.Embed
	blocks   []device.Blocks
	sizes    []float64 // of them, in blocks of average size
	small    int       // so many of them are enough where arithmetic takes the time
	most     int       // rows of the largest Step
	plain    device.Head
	screened device.Head // nil where the device makes no copy
	held     []io.Closer
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
	t.most = largest(m, d)
	kv := device.KV{Type: kvType, PageSize: pageSize, Pages: Pages(m, d)}
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

// rowCounts are the numbers of rows that are measured.
func (t *meter) rowCounts() []int {
	if t.most == longPrompt {
		return rowCounts
	}
	return append(slices.Clone(rowCounts), t.most)
}

// largest is how many rows the largest Step has that is measured on a device.
func largest(m *graph.Model, d device.Device) int {
	return max(longPrompt, min(d.Info().Rows, m.Context/pageSize*pageSize))
}

// Pages is how many KV pages, of 32 positions, Measure takes on a device.
func Pages(m *graph.Model, d device.Device) int { return pagesOf(largest(m, d)) + sequences }

// promptPages are the pages of the longest prompt.
func (t *meter) promptPages() int { return pagesOf(t.most) }

func pagesOf(rows int) int { return (rows + pageSize - 1) / pageSize }

// batchOf makes a batch of n rows: one prompt, or the first rows of n sequences.
func (t *meter) batchOf(vocab, n int, prompt bool) *device.Batch {
	b, own := &device.Batch{}, t.promptPages()
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
