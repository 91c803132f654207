package bench

import (
	"context"
	"errors"
	"time"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/graph"
)

// load measures the way from opening the file to the first token, and the
// memory that it and a full context take.
func (b *bencher) load(ctx context.Context, within time.Duration) error {
	if err := b.look(); err != nil {
		return err
	}
	repeats := 1
	if b.chosen("load") {
		repeats = mostLoads
	}
	var ms []float64
	start := time.Now()
	for i := range repeats {
		if i > 1 && time.Since(start) > within {
			break
		}
		took, err := b.loadOnce(ctx, i == 0, within)
		if err != nil {
			return err
		}
		ms = append(ms, float64(took)/float64(time.Millisecond))
	}
	b.report.LoadMS = spread(ms).Median
	return nil
}

// look reads what the file says of itself.
func (b *bencher) look() (err error) {
	f, err := builtin.OpenFile(b.opt.Model, b.opt.Engine.Gguf)
	if err != nil {
		return &OpenError{err}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return gguf.Guard(func() error {
		m, err := graph.Bind(f)
		if err != nil {
			return &OpenError{err}
		}
		b.report.Model, b.limit = f.Name(), m.Context
		if b.limit <= 0 {
			b.limit = decodeContexts[len(decodeContexts)-1] // the file sets no bound
		}
		return nil
	})
}

// loadOnce opens the model and waits for a token. With memory it then fills
// the context, as far as it gets in fillTime, reads the peak, and measures what
// devices could do.
func (b *bencher) loadOnce(ctx context.Context, memory bool, within time.Duration) (took time.Duration, err error) {
	start := time.Now()
	e, err := b.open(ctx, b.opt.Engine.Devices, min(b.limit, loadContext), 1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	times, err := stream(ctx, e, 1, 1, 1, 0)
	if err != nil {
		return 0, err
	}
	took = times[0][0].Sub(start)
	if !memory {
		return took, nil
	}
	b.report.LoadContext = 1
	limited, cancel := context.WithTimeout(ctx, max(within, fillTime))
	defer cancel()
	length := max(1, e.Ctx()-tailTokens)
	switch times, err := stream(limited, e, 1, length, tailTokens, within); {
	case err == nil:
		b.report.LoadContext = length + len(times[0])
	case limited.Err() == nil || ctx.Err() != nil:
		return 0, err
	}
	b.report.PeakRSS = peakRSS()
	b.accelerators(e.Devices())
	b.report.PlanBytes = e.Memory().Host
	return took, b.roofs(ctx, e.Devices())
}

// accelerators records what devices that are not processors hold.
func (b *bencher) accelerators(devices []device.Device) {
	for _, d := range devices {
		if d.Info().Kind == "cpu" {
			continue
		}
		b.report.GPU = true
		sum := uint64(0)
		for _, bytes := range d.Ledger().Snapshot().Now {
			sum += uint64(max(bytes, 0))
		}
		b.report.GPUBytes = max(b.report.GPUBytes, sum)
	}
}
