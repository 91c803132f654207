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
)

// Open loads a model file ("" = the one inside the binary) and starts its
// stages. Errors are those of packages gguf, vocab, graph and device, or an
// *OptionError; ctx ends the loading.
func Open(ctx context.Context, path string, opt Options) (*Engine, error) {
	open := func() (*gguf.File, error) { return gguf.Open(path, opt.Gguf) }
	if path == "" {
		open = builtin.Open
	}
	f, err := open()
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
	if opt, err = opt.settle(e.model); err != nil {
		return err
	}
	if e.devices, err = device.OpenList(opt.Devices); err != nil {
		return err
	}
	for _, d := range e.devices {
		e.held.add(d)
	}
	if err := opt.screen(e.devices); err != nil {
		return err
	}
	caps, err := opt.capacities(e.devices)
	if err != nil {
		return err
	}
	kv := opt.kv()
	shape := graph.KVShape{BytesPerElement: kvBytes[kv.Type], Positions: kv.Pages * kv.PageSize}
	if e.plan, err = graph.MakePlan(e.model, caps, opt.Split, shape); err != nil {
		return err
	}
	l := loader{model: e.model, plan: e.plan, devices: e.devices, kv: kv, held: &e.held}
	specs, err := l.load(ctx, opt.Progress)
	if err != nil {
		return err
	}
	e.core = core{
		language: language{
			vocab: voc, ids: e.model.Vocab, isEOG: voc.IsEOG,
			stream: func() textStream { return voc.NewStream(false) },
		},
		pipe: start(specs, opt.limits(l.waves(), e.model.Vocab), opt.Trace),
	}
	return nil
}
