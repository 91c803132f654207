package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tritflow/bench"
	"tritflow/stages"
)

const benchHelp = `Measure how fast a model runs here, and what the machine would allow.

In one run this measures how fast memory is read and int8 values are multiplied
with 1 to all threads, then decode (at a context of 0, 2048 and 4096, with fewer
threads too), prefill (128, 512 and 2048 tokens) and decode of batches (4, 8, 16
and 32 sequences after 32 tokens, unless --batches and --batch-context say
otherwise). The limit of each is the time in which the bytes that it must
read could be read, or its int8 products made (those with ternary weights, and
with the screening copy of the head where that answers), whichever is longer,
with as many threads; fraction is the median's part of it. On a GPU both are
those of the GPU, measured in the same run; one answer on several devices waits
for each of them, more than one for the slowest. What does not fit the model's
context is left out and named.

--only chooses: decode, prefill, batch, load, and kernels (each kind of matrix
of the model on one thread, never by default). --time is for the measurements;
reading the prompts of long contexts comes on top.

--against LIST measures the same on other devices in the same run and says how many
times as fast --devices is, for example --devices cuda:0 --against cpu.

--json prints one object:

  machine{cpu, features, cores, read_gbps[], int8_tops[],
          devices[]{name, model, read_gbps, int8_tops}}
  results[]{name, threads, n, context, tok_s{min, median, max}, limit_tok_s, fraction}
  kernels[]{tensor, type, rows, cols, n, gbps, gops}          (with --only kernels)
  load_ms, peak_rss_bytes
  against{devices, results[], speedups[]{name, n, context, times}}

devices are those that are no processors, absent without one. name is decode,
prefill or batch; n the length of the prompt or the number of
sequences; a figure that is not known is null. load_ms reaches from opening the
file to the first token; peak_rss_bytes (0: not known) is the most memory that
the program held with one sequence of 512 positions, mapped pages included.

--validate-targets judges the figures by a file of targets, or by one of two that
are part of the program, seed and tritflow; for them the numbers of the network are
looked at too, and the built-in model is asked its questions. What is not measured
here is left out. With --json the object has one more field:

  targets{name, pass, verdicts[]{metric, target, value, pass, skipped, why}}

The exit code is 1 where a target is missed. ` + "`tritflow validate --all`" + ` does more.

` + exitHelp

// mostBatch is how many sequences are measured at once at most.
const mostBatch = 4096

type benchFlags struct {
	fileFlags
	placementFlags
	only []string
	time time.Duration
	json bool
	svg  string

	against string

	batches      []int
	batchContext int
	targetsFlag
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [-m FILE]",
		Short: "Measure speeds beside the machine's limits",
		Long:  benchHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.bench(ctx, &f) }),
	}
	fs := cmd.Flags()
	f.addModel(fs)
	f.placementFlags.add(cmd)
	fs.StringSliceVar(&f.only, "only", bench.Defaults, "what to measure: decode, prefill, batch, load, kernels")
	fs.DurationVar(&f.time, "time", 30*time.Second, "how long to measure in all, about")
	fs.IntSliceVar(&f.batches, "batches", bench.Batches, "how many sequences decode at once")
	fs.IntVar(&f.batchContext, "batch-context", bench.BatchContext, "tokens of their prompts")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.StringVar(&f.against, "against", "", "compare with these devices, in the same run")
	f.targetsFlag.add(fs)
	fs.StringVar(&f.svg, "svg", "", "draw speeds and limits into this file (SVG)")
	return cmd
}

func (a *app) bench(ctx context.Context, f *benchFlags) (err error) {
	if f.time <= 0 {
		return usagef("--time %v: give a time greater than 0, for example 30s", f.time)
	}
	if len(f.batches) == 0 || slices.Min(f.batches) < 1 || slices.Max(f.batches) > mostBatch {
		return usagef("--batches %v: give numbers from 1 to %d, for example 4,64", f.batches, mostBatch)
	}
	if f.batchContext < 1 {
		return usagef("--batch-context %d: give the length of the prompts, for example 512", f.batchContext)
	}
	if err := apart([]place{{"-m", f.path}, {"--validate-targets", f.targets}}, []place{{"--svg", f.svg}}); err != nil {
		return err
	}
	if err := f.readTargets(); err != nil {
		return err
	}
	if err := f.settle(ctx, a); err != nil {
		return err
	}
	picture, err := reserve(f.svg)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, abandon(picture)) }()
	report, err := f.measure(ctx, a)
	if err != nil {
		return err
	}
	if picture != nil {
		if err := report.WriteSVG(picture); err != nil {
			return err
		}
		if err := picture.Commit(); err != nil {
			return err
		}
	}
	if f.json {
		for _, s := range report.Skipped {
			a.log.Warn().Msg("not measured: " + s)
		}
		if f.set == nil {
			return a.out.json(report, true)
		}
	} else if err := report.WriteTable(a.out); err != nil || f.set == nil {
		return err
	}
	return a.judge(ctx, f, report)
}

// engine are the options that models are measured with.
func (f *benchFlags) engine(a *app) stages.Options {
	return stages.Options{
		Devices: f.devices, Strict: f.strict, Split: f.split, KV: f.kv, Screen: f.screen, Pre: f.pre,
		Gguf: f.reading(), Log: a.log,
	}
}

func (f *benchFlags) measure(ctx context.Context, a *app) (*bench.Report, error) {
	if f.path == "" {
		a.noteBuiltin()
	}
	progress, done := a.progress("measuring")
	report, err := bench.Run(ctx, bench.Options{
		Model: f.path, Engine: f.engine(a),
		Only: f.only, Time: f.time, Step: progress,
		Batches: f.batches, BatchContext: f.batchContext, Against: f.against,
	})
	done()
	if is[*bench.OpenError](err) {
		return nil, openFailure(ctx, err)
	}
	return report, err
}
