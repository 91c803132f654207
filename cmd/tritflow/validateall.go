package main

import (
	"context"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/cmd/tritflow/internal/suites"
	"tritflow/cmd/tritflow/internal/targets"
	"tritflow/gguf/builtin"
)

const validateAllHelp = `

With --all everything that can be checked is, in one table: memory against its plan,
tensors against a baseline, the right answers of the built-in model, operations and
layers against F32, other configurations and other kernels against each other to the
bit, and speeds and sizes against targets (--targets: seed, tritflow, or a JSON file;
docs/proof.md). --baseline names a receipt of the model, of this or another machine
(run --receipt); the model inside the program has one of its own. A check that says
nothing for this model or machine is shown with its reason.`

// allFlags are those of validate --all.
type allFlags struct {
	on        bool
	baseline  string
	dumps     []string
	targets   []string
	maxMemory string
	quick     bool
}

func (f *allFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.on, "all", false, "run every suite: memory, model, accuracy, numbers, crossval, platform, performance")
	fs.StringVar(&f.baseline, "baseline", "", "with --all: receipt that tensors and answers are compared with")
	fs.StringArrayVar(&f.dumps, "reference", nil, "with --all: dump of another engine for this model, as crossval reads it (may be given several times)")
	fs.StringSliceVar(&f.targets, "targets", targets.Shipped, "with --all: targets of speed and size")
	fs.StringVar(&f.maxMemory, "max-memory", "", "with --all: most memory that may be used, for example 8GB")
	fs.BoolVar(&f.quick, "quick", false, "with --all: measure speeds for a moment only")
}

// all runs every suite and prints one table.
func (f *allFlags) run(ctx context.Context, a *app, v *validateFlags) error {
	e := engineFlags{fileFlags: v.fileFlags, placementFlags: placementFlags{devices: v.devices, kv: v.kv}}
	if f.maxMemory != "" {
		e.maxMemory = []string{f.maxMemory}
	}
	engine, err := e.options(a)
	if err != nil {
		return err
	}
	opt := suites.Options{
		Path: v.path, Engine: engine, Dumps: f.dumps, Targets: f.targets, Quick: f.quick,
		Loaded: keepPromise,
	}
	for _, name := range f.targets {
		if _, err := targets.Read(name); err != nil {
			return err
		}
	}
	if f.baseline != "" {
		if opt.Baseline, err = receipt.Read(f.baseline); err != nil {
			return err
		}
	}
	// A model that cannot be opened at all is refused as everywhere.
	file, err := v.open(a)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	name := builtin.Name
	if v.path != "" {
		name = v.path
	}
	progress, done := a.progress("validating")
	report, err := suites.Run(ctx, name, suites.Suites(opt), progress)
	done()
	if err != nil {
		return err
	}
	if v.json {
		err = a.out.json(report, true)
	} else {
		err = report.WriteTable(a.out)
	}
	if err == nil && !report.Pass {
		err = errInvalid
	}
	return err
}
