package stages

import (
	"context"
	"errors"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/graph"
)

// Plan decides where a model would go, as Open does, without loading it; with
// Options.Profiles it measures its devices first, where that is not known yet.
// requests and context are what the forecast is made for (see Layout.Forecast);
// it is nil without measurement. The layout's model is valid until the
// file is closed.
func Plan(ctx context.Context, f *gguf.File, opt Options, requests int, context float64) (l *Layout, forecast *Forecast, err error) {
	if ctx == nil {
		return nil, nil, ErrNoContext
	}
	err = gguf.Guard(func() error {
		m, err := graph.Bind(f)
		if err != nil {
			return err
		}
		if opt, err = opt.settle(m); err != nil {
			return err
		}
		if l, err = opt.planSomewhere(ctx, m); err != nil {
			return err
		}
		if fc, ok := l.Forecast(requests, context); ok {
			forecast = &fc
		}
		return nil
	})
	return l, forecast, err
}

// planSomewhere plans for the first of the lists of devices that can take the
// model.
func (o Options) planSomewhere(ctx context.Context, m *graph.Model) (l *Layout, err error) {
	err = o.somewhere(func(o Options) error {
		l, err = o.planOn(ctx, m)
		return err
	})
	return l, err
}

// planOn opens the devices that the options name, plans and closes them.
func (o Options) planOn(ctx context.Context, m *graph.Model) (l *Layout, err error) {
	devs, err := device.OpenList(o.Devices)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, d := range devs {
			err = errors.Join(err, d.Close())
		}
	}()
	// The limits are those of an engine; here nothing else is in memory.
	return o.plan(ctx, m, devs, func(*graph.Model, []device.Device) bool { return true })
}
