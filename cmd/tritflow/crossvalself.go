package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"runtime"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/gguf/atomicfile"
	"tritflow/stages"
)

// repeats compares the engine with itself: alone, in company, one token at a time.
func (f *crossvalFlags) repeats(ctx context.Context, a *app) (err error) {
	if f.reference != "" || f.platform != "" {
		return usagef("--deterministic compares with no one else: leave --reference and --platform out")
	}
	if f.deterministic < 2 {
		return usagef("--deterministic %d compares nothing: give 2 or more runs", f.deterministic)
	}
	prompts, _, err := f.cases(ctx, a)
	if err != nil {
		return err
	}
	e, err := f.start(ctx, a)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	d, err := crossval.Deterministic(ctx, e, prompts, f.n, f.deterministic)
	if err != nil {
		return err
	}
	d.Model, d.Ours = f.name(e), f.configuration(e)
	if f.json {
		err = a.out.json(d, true)
	} else {
		err = d.WriteText(a.out)
	}
	if err == nil && !d.Pass {
		err = errDiverges
	}
	return err
}

// machines writes a baseline of this machine, or compares with the one that is there.
func (f *crossvalFlags) machines(ctx context.Context, a *app, tol crossval.Tolerance) (err error) {
	if f.reference != "" {
		return usagef("--platform compares with a file: leave --reference out")
	}
	was, err := crossval.ReadBaseline(f.platform)
	first := errors.Is(err, fs.ErrNotExist)
	if err != nil && !first {
		return err
	}
	var prompts []crossval.Prompt
	if first {
		prompts, _, err = f.cases(ctx, a)
	} else {
		prompts, f.n = was.Prompts(), was.Length()
	}
	if err != nil {
		return err
	}
	now, err := f.baseline(ctx, a, prompts, was)
	if err != nil {
		return err
	}
	if first {
		return a.writeBaseline(f.platform, now)
	}
	r, err := crossval.ComparePlatforms(was, now, tol)
	if err != nil {
		return err
	}
	if f.json {
		err = a.out.json(r, true)
	} else {
		err = r.WriteText(a.out)
	}
	if err == nil && !r.Pass {
		err = errDiverges
	}
	return err
}

// baseline computes what this machine gives, to be compared with another one unless that is nil.
func (f *crossvalFlags) baseline(ctx context.Context, a *app, prompts []crossval.Prompt, with *crossval.Baseline) (b *crossval.Baseline, err error) {
	if err := f.settle(ctx, a); err != nil {
		return nil, err
	}
	model, err := f.fingerprint(ctx)
	if err != nil {
		return nil, err
	}
	if with != nil {
		if err := with.Fits(model.Digest, f.kv); err != nil {
			return nil, err
		}
	}
	e, err := f.start(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closeEngine(e, &err)
	b = &crossval.Baseline{Version: version(), Model: model.Digest, KV: f.kv, Machine: machineOf(e)}
	return b, b.Measure(ctx, e, prompts, f.n)
}

func machineOf(e *stages.Engine) crossval.Machine {
	m := crossval.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH}
	for _, d := range e.Devices() {
		i := d.Info()
		m.Kinds = append(m.Kinds, i.Kind)
		m.Devices = append(m.Devices, i.Model+" "+i.Tier)
	}
	return m
}

func (a *app) writeBaseline(path string, b *crossval.Baseline) (err error) {
	file, err := atomicfile.Create(path, atomicfile.Options{Special: true})
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, file.Abort()) }()
	enc := json.NewEncoder(file)
	enc.SetIndent("", " ")
	if err := enc.Encode(b); err != nil {
		return err
	}
	if err := file.Commit(); err != nil {
		return err
	}
	a.log.Info().Int("prompts", len(b.Cases)).Msg("wrote a baseline of this machine to " + path)
	return nil
}
