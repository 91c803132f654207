package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"tritflow/bench"
)

const memoryHelp = `Measure what a model takes of the memory, beside the plan that was made before
it was loaded.

The model is loaded, reads one long prompt, gives one answer, and then as many
requests as --requests allows fill their context at once. After each phase this
prints the resident memory (mapped pages of the file included), its peak, and what
the devices' ledgers count.

--max-memory is a promise: what does not fit is refused before anything is loaded.
--validate fails when the measured peak is more than 5 % above the plan or the
promise, or a ledger above its plan.

--json prints one object:

  model requests ctx plan{} peak_rss problems[]
  phases[]{name, tokens, rss, peak, ledger[]{now{}, peak{}}}

Exit codes:
  0    done
  1    with --validate: more than planned or promised was taken
  2    refused: wrong flags, a model that does not fit, or whose file is missing,
       damaged or unsupported
  130  interrupted with Ctrl-C (143: terminated)`

// errAbovePlan: memory-benchmark has said what took more than planned.
var errAbovePlan = errors.New("more memory was taken than planned")

type memoryFlags struct {
	engineFlags
	requests int
	validate bool
	json     bool
}

func (a *app) memoryBenchmarkCommand() *cobra.Command {
	var f memoryFlags
	cmd := &cobra.Command{
		Use:   "memory-benchmark [-m FILE]",
		Short: "Measure memory beside its plan",
		Long:  memoryHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.memoryBenchmark(ctx, &f) }),
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.IntVar(&f.requests, "requests", 8, "requests that fill their context at once")
	fs.BoolVar(&f.validate, "validate", false, "fail when more is taken than was planned or promised")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

func (a *app) memoryBenchmark(ctx context.Context, f *memoryFlags) error {
	if f.requests < 1 {
		return usagef("--requests %d: give at least 1", f.requests)
	}
	f.seqs = f.requests
	if err := f.settle(ctx, a); err != nil {
		return err
	}
	opt, err := f.options(a)
	if err != nil {
		return err
	}
	if opt.Profiles != nil {
		opt.Profiles.Kept = true // what measuring takes is no part of the plan
	}
	if f.path == "" {
		a.noteBuiltin()
	}
	progress, done := a.progress("measuring")
	r, err := bench.MeasureMemory(ctx, bench.MemoryOptions{Model: f.path, Engine: opt, Loaded: keepPromise, Step: progress})
	done()
	if is[*bench.OpenError](err) {
		return openFailure(ctx, err)
	}
	if err != nil {
		return err
	}
	if f.json {
		err = a.out.json(r, true)
	} else {
		err = r.WriteTable(a.out)
	}
	if err == nil && f.validate && !r.Pass() {
		err = errAbovePlan
	}
	return err
}
