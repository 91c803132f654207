package stages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tritflow/device"
	_ "tritflow/device/cpu" // the device that is always there
	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/gguf/vocab"
	"tritflow/graph"
	"tritflow/stages/profile"
)

// Open loads a model file ("" = the one inside the binary) and starts its
// stages. Errors are those of packages gguf, vocab, graph and device, or an
// *OptionError; ctx ends the loading.
func Open(ctx context.Context, path string, opt Options) (*Engine, error) {
	f, err := builtin.OpenFile(path, opt.Gguf)
	if err != nil {
		return nil, err
	}
	return New(ctx, f, opt)
}

// New does the same with an open file, which the engine then owns (also when New fails).
func New(ctx context.Context, f *gguf.File, opt Options) (*Engine, error) {
	began := time.Now()
	e := &Engine{}
	e.held.add(f)
	// Metadata is read where the file is mapped.
	if err := gguf.Guard(func() error { return e.load(ctx, f, opt) }); err != nil {
		if cerr := e.held.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("stages: closing after a failed load: %w", cerr))
		}
		return nil, err
	}
	e.loadTime = time.Since(began)
	opt.Log.Info().Str("model", f.Name()).Int("devices", len(e.devices)).
		Int("ctx", e.Ctx()).Dur("took", e.loadTime).Msg("model loaded")
	return e, nil
}

// load does the work of New. What it opened is in e.held, also when it fails.
func (e *Engine) load(ctx context.Context, f *gguf.File, opt Options) error {
	if ctx == nil {
		return ErrNoContext
	}
	voc, err := vocab.Load(f.Metadata(), vocab.Options{Pre: opt.Pre})
	if err != nil {
		return fmt.Errorf("stages: %s: %w", f.Name(), err)
	}
	for _, w := range voc.Warnings() {
		opt.Log.Warn().Str("model", f.Name()).Msg(w)
	}
	if e.model, err = graph.Bind(f); err != nil {
		return err
	}
	if opt.Network != nil {
		if err := opt.Network(e.model); err != nil {
			return err
		}
	}
	if opt, err = opt.settle(e.model); err != nil {
		return err
	}
	specs, err := e.placeSomewhere(ctx, opt)
	if err != nil {
		return err
	}
	last := sampleStage
	if e.model.Head.Pooling != graph.PoolNone {
		last = poolStage
	}
	e.core = core{
		pooling: e.model.Head.Pooling, width: e.model.Head.Width(),
		language: language{
			vocab: voc, ids: e.model.Vocab, isEOG: voc.IsEOG,
			stream: func() textStream { return voc.NewStream(false) },
		},
		pipe: start(specs, last, e.layout.limits, opt.Trace),
	}
	return nil
}

// place opens devices and loads the model onto them. What it opened is in e.held, also
// when it fails.
func (e *Engine) place(ctx context.Context, opt Options) (specs [][]spec, err error) {
	if e.devices, err = device.OpenList(opt.Devices); err != nil {
		return nil, err
	}
	for _, d := range e.devices {
		e.held.add(d)
	}
	if e.layout, err = opt.plan(ctx, e.model, e.devices, opt.roomToMeasure); err != nil {
		return nil, err
	}
	return e.loadReplicas(ctx, opt)
}

// plan tells the devices how to screen and decides where everything goes, with
// measured speeds where options ask for them and there is room to measure. What cannot fit is
// refused before anything is measured.
func (o Options) plan(ctx context.Context, m *graph.Model, devs []device.Device, room func(*graph.Model, []device.Device) bool) (*Layout, error) {
	if err := o.screen(devs); err != nil {
		return nil, err
	}
	l, err := o.layoutOf(m, devs, nil)
	if err != nil || o.Profiles == nil || !l.screening { // measuring would take memory that is not there
		return l, err
	}
	if !o.Profiles.Has(m, devs, o.KV) {
		if o.Profiles.Kept || !room(m, devs) {
			o.Log.Info().Msg("the devices have not been measured with this model, so that the plan goes by what they say of themselves; `tritflow plan` measures them")
			return l, nil
		}
		o.Log.Info().Str("kept in", o.Profiles.Dir).Msg("measuring the devices with this model, once")
	}
	set, err := o.Profiles.Get(ctx, m, devs, o.KV)
	if kept := (*profile.StoreError)(nil); errors.As(err, &kept) {
		o.Log.Warn().Msg(kept.Error())
	} else if err != nil {
		return nil, err
	}
	if err := o.screen(devs); err != nil { // measuring had ways of its own
		return nil, err
	}
	return o.layoutOf(m, devs, set)
}

// roomToMeasure tells whether measuring keeps to the memory that was allowed. Each
// device holds the model then, and the heap may be twice what is in use before it is collected.
func (o Options) roomToMeasure(m *graph.Model, devs []device.Device) bool {
	if o.MaxMemory == 0 && len(o.DeviceMemory) == 0 {
		return true
	}
	limits := map[string]uint64{}
	for name, limit := range o.DeviceMemory {
		limits[name] = limit / 2
	}
	pages := 0
	for _, d := range devs {
		pages = max(pages, profile.Pages(m, d))
	}
	o.MaxMemory, o.DeviceMemory = o.MaxMemory/2, limits
	o.Replicas, o.Split, o.Chunk, o.Waves, o.Ctx = len(devs), nil, 0, 1, pages*pageSize
	_, err := o.try(m, devs, nil, pages, true)
	return err == nil
}

// loadReplicas brings every replica to its devices.
func (e *Engine) loadReplicas(ctx context.Context, opt Options) ([][]spec, error) {
	if !e.layout.screening {
		for _, d := range e.devices {
			if s, ok := d.(device.Screener); ok {
				if err := s.SetScreening(device.ScreenOff); err != nil {
					return nil, err
				}
			}
		}
	}
	var loaders []loader
	total, before := 0, 0
	for _, r := range e.layout.Replicas {
		l := loader{model: e.model, plan: r.Plan, devices: r.devices, kv: e.layout.kv, held: &e.held}
		loaders = append(loaders, l)
		total += len(l.units())
	}
	var specs [][]spec
	for _, l := range loaders {
		list, err := l.load(ctx, func(done, _ int) {
			if opt.Progress != nil {
				opt.Progress(before+done, total)
			}
		})
		if err != nil {
			return nil, err
		}
		before += len(list)
		specs = append(specs, list)
	}
	return specs, nil
}
