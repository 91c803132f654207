package profile

import (
	"context"
	"errors"
	"fmt"
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
	longPrompt = 256                    // rows of the largest Step, unless the device wishes for more
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
	counts := t.rowCounts()
	for _, n := range counts {
		use := len(t.blocks)
		if n > fewRows {
			use = t.small
		}
		own := n <= sequences
		if !own {
			head = nil
		}
		took, err := t.tour(ctx, t.batchOf(vocab, n, !own), use, head)
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
	row := t.batchOf(vocab, 1, true)
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
	for i, n := range counts {
		// What a prompt spends on attention is not the rows' own. A device that wishes for many rows has other ways for
		// those than for a single one, and steps that carry them are prompts.
		if n > sequences && n <= longPrompt {
			p.Block.Seconds[i] = max(p.Block.Seconds[i]-p.Attend*float64(n*n)/2, p.Block.Seconds[i-1])
		}
	}
	for _, n := range answerCounts {
		if t.screened == nil {
			break
		}
		took, err := t.tour(ctx, t.batchOf(vocab, n, false), t.small, t.plain)
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
