package suites

import (
	"context"
	"errors"

	"github.com/rs/zerolog"

	"tritflow/cmd/tritflow/internal/fingerprint"
	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/gguf"
	"tritflow/gguf/builtin"
	"tritflow/graph"
	"tritflow/stages"
)

// Options of Suites.
type Options struct {
	Path     string // model, "" = the one inside the program
	Engine   stages.Options
	Baseline *receipt.Receipt // what the model is to be; nil = the program's own, for the model inside it
	Dumps    []string         // of other engines, for this model
	Targets  []string         // sets of targets for speed and memory
	Quick    bool             // speeds are measured for a moment only
	Loaded   func(stages.Memory)
}

// Suites are all sides, memory first, because it counts what the process holds.
func Suites(o Options) []Suite {
	m := &model{Options: o}
	m.Engine.Log = zerolog.Nop()
	m.figures.Values = map[string]float64{}
	return []Suite{
		suite{"memory", m.memory},
		suite{"model", m.identity},
		suite{"accuracy", m.accuracy},
		suite{"numbers", m.numbers},
		suite{"crossval", m.crossval},
		suite{"platform", m.platform},
		suite{"performance", m.performance},
	}
}

func (m *model) open() (*gguf.File, error) {
	return builtin.OpenFile(m.Path, m.Engine.Gguf)
}

// withFile runs do with the bound network of the file.
func (m *model) withFile(do func(*gguf.File, *graph.Model) error) (err error) {
	f, err := m.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return gguf.Guard(func() error {
		g, err := graph.Bind(f)
		if err != nil {
			return err
		}
		return do(f, g)
	})
}

// withEngine runs do with a loaded model whose options change has had its way with.
func (m *model) withEngine(ctx context.Context, change func(*stages.Options), do func(*stages.Engine) error) (err error) {
	o := m.Engine
	if change != nil {
		change(&o)
	}
	e, err := stages.Open(ctx, m.Path, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return do(e)
}

// print reads the file's hashes, once.
func (m *model) print(ctx context.Context) (*fingerprint.Model, error) {
	if m.hashes != nil {
		return m.hashes, nil
	}
	f, err := m.open()
	if err != nil {
		return nil, err
	}
	m.hashes, err = fingerprint.Of(ctx, f)
	return m.hashes, errors.Join(err, f.Close())
}

// ours says whether the file is the model inside the program, or claims to be.
func (m *model) ours(ctx context.Context) (bool, error) {
	mine, err := m.print(ctx)
	if err != nil {
		return false, err
	}
	f, err := builtin.Open()
	if err != nil {
		return false, err
	}
	inside, err := fingerprint.Of(ctx, f)
	return err == nil && inside.Metadata == mine.Metadata, errors.Join(err, f.Close())
}

// bound keeps a number of positions within what the model was trained for.
func (m *model) bound(positions *int) error {
	return m.withFile(func(_ *gguf.File, g *graph.Model) error {
		if g.Context > 0 {
			*positions = min(*positions, g.Context)
		}
		return nil
	})
}
