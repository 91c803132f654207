package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/cmd/tritflow/internal/batch/disk"
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/openai"
	"tritflow/gguf/atomicfile"
	"tritflow/stages"
	"tritflow/stages/sample"
)

const batchHelp = `Answer a file of requests, each line exactly once.

The input is OpenAI's batch format (/v1/chat/completions and /v1/completions),
one prompt a line (--format text), or a column of a CSV, TSV or Parquet file; the
ending of its name tells which. The output is OpenAI's batch output, in the order
of the input. A line that cannot be answered becomes an error line.

Whatever ends the program (Ctrl-C, kill -9, loss of power, a full disk), the same
command goes on where it stopped, and the output comes out as if nothing had
happened. OUT.journal beside the output makes that possible; with another model,
cache type or default the job is refused, with other devices it is not. Given on
a finished output, the command does nothing.

Ctrl-C finishes the requests under way; a second one does not wait for them.

Exit codes:
  0    every line was answered
  1    stopped while working, for example by a full disk; the same command goes on
  2    refused: wrong flags, a changed input, another job's output, a model that
       does not fit, or whose file is missing, damaged or unsupported
  3    done, and some lines are error lines
  130  interrupted with Ctrl-C (143: terminated); the same command goes on`

// batchFlags are the flags of batch.
type batchFlags struct {
	engineFlags
	in, out  string
	format   string
	columns  input.Columns
	chat     bool
	special  bool
	order    string
	inflight int
	summary  string
	stats    statsFlag
	live     viewFlag
	receipt  receiptFlag
	defaults openai.Defaults
}

func (a *app) batchCommand() *cobra.Command {
	var f batchFlags
	cmd := &cobra.Command{
		Use:   "batch [-m MODEL] [-i IN] -o OUT",
		Short: "Answer a file of requests; can be interrupted and resumed",
		Long:  batchHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.batch(ctx, &f) }),
	}
	f.engineFlags.add(cmd)
	f.add(cmd.Flags())
	return cmd
}

func (f *batchFlags) add(fs *pflag.FlagSet) {
	fs.StringVarP(&f.in, "input", "i", "-", "read requests from this file (-: standard input)")
	fs.StringVarP(&f.out, "output", "o", "", "write answers to this file")
	fs.StringVar(&f.format, "format", "", "jsonl, text, csv, tsv or parquet (default: by the ending of the input's name, else jsonl)")
	fs.StringVar(&f.columns.Prompt, "column", "prompt", "column with the prompts (csv, tsv, parquet)")
	fs.StringVar(&f.columns.ID, "id-column", "", "column with the ids (default: custom_id or id where there is one, else row-N)")
	fs.BoolVar(&f.chat, "chat", false, "prompts that are not JSON are messages of a user, put through the model's chat template")
	fs.BoolVar(&f.special, "special", true, "special tokens written in the prompts of completions are taken as such")
	fs.StringVar(&f.order, "order", string(batch.OrderInput), "order of the output: input, or finished, which promises only the set of lines")
	fs.IntVar(&f.inflight, "max-inflight", 0, "requests in the pipeline at once (default: 32, or as many as memory allows)")
	fs.StringVar(&f.summary, "summary", "", "write counts and speeds to this file as JSON")

	f.stats.add(fs)
	f.live.add(fs)
	f.receipt.add(fs)

	d := &f.defaults
	p := &d.Sampling
	alsoNamed(fs, llamaSamplingNames)
	alsoNamed(fs, llamaBatchNames)
	fs.IntVarP(&d.MaxTokens, "tokens", "n", 256, "most tokens to generate where a line has no max_tokens (-1: until the context is full)")
	fs.Float32Var(&p.Temperature, "temp", 0, "temperature where a line has none; 0 always takes the likeliest token")
	fs.IntVar(&p.TopK, "top-k", 0, "top_k where a line has none (0: off)")
	fs.Float32Var(&p.TopP, "top-p", 1, "top_p where a line has none (1: off)")
	fs.Float32Var(&p.MinP, "min-p", 0, "min_p where a line has none (0: off)")
	fs.Uint64VarP(&p.Seed, "seed", "s", 0, "lines that draw and have no seed get one made from this and their custom_id")
	fs.StringArrayVar(&d.Stop, "stop", nil, "stop string where a line has none (may be given several times)")
	fs.BoolVar(&d.IgnoreEOS, "ignore-eos", false, "ignore end tokens where a line does not say")
}

// check refuses flags that make no sense.
func (f *batchFlags) check() error {
	p := f.defaults.Sampling
	switch {
	case f.out == "":
		return usagef("say with -o where the answers go")
	case f.out == "-":
		return usagef("-o -: the answers go to a file, so that a job can be resumed; name one")
	case f.order != string(batch.OrderInput) && f.order != string(batch.OrderFinished):
		return usagef("--order %q is unknown: use input or finished", f.order)
	case f.inflight < 0:
		return usagef("--max-inflight %d is negative: give a number of requests, or 0 for the default", f.inflight)
	case f.defaults.MaxTokens <= 0:
		return usagef("-n %d: there must be at least one token to generate", f.defaults.MaxTokens)
	case p.TopP == 0:
		return usagef("--top-p 0 would leave no token to draw: give a value above 0 and at most 1 (1 is off)")
	}
	return firstError(checkStops(f.defaults.Stop), checkParams(p))
}

// batch answers the input.
func (a *app) batch(ctx context.Context, f *batchFlags) (err error) {
	f.defaults.MaxTokens = unbounded(f.defaults.MaxTokens)
	if err := firstError(f.check(), f.live.check(a)); err != nil {
		return err
	}
	output, err := resolved(f.out)
	if err != nil {
		return err
	}
	err = apart([]place{{"-m", f.path}, {"-i", f.in}, {"-o", output}},
		[]place{{"the journal of -o", output + ".journal"}, {"--summary", f.summary}, {"--receipt", f.receipt.path}, {"--stats-file", f.stats.path}})
	if err != nil {
		return err
	}
	format, src, err := f.open(ctx, a, output)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, src.Close()) }()
	summary, err := reserve(f.summary)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, abandon(summary)) }()
	if err := f.settle(ctx, a); err != nil {
		return err
	}
	model, err := f.fingerprint(ctx)
	if err != nil {
		return err
	}
	proof, err := f.receipt.begin(ctx, &f.fileFlags, model)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, proof.abort()) }()
	job, err := batch.Open(batch.Options{
		FS: disk.OS{}, Output: output, Settings: f.settings(model, format), Order: batch.Order(f.order), Lock: batch.Lock,
	})
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, job.Close()) }()
	if n := job.Torn(); n > 0 {
		a.log.Warn().Int64("bytes", n).Msg("the last record of the journal was not written to its end; its line is computed again")
	}
	if job.Finished() {
		defer context.AfterFunc(ctx, func() { _ = src.Close() })() // which may keep it waiting
		if err := job.CheckInput(src); err != nil {
			return err
		}
		a.log.Info().Str("output", f.out).Int64("requests", job.Totals().Requests).Msg("the job is finished already: nothing to do")
		if err := proof.commit(nil, &f.engineFlags, f.proven(job, format)); err != nil {
			return err
		}
		return a.conclude(&batchSummary{Totals: job.Totals(), Defaults: f.told()}, summary)
	}
	sum, err := a.runBatch(ctx, f, job, src, format, proof)
	if err != nil {
		return err
	}
	return a.conclude(sum, summary)
}

// runBatch loads the model and answers what is left.
func (a *app) runBatch(ctx context.Context, f *batchFlags, job *batch.Job, src input.Source, format input.Format, proof *receiptFile) (sum *batchSummary, err error) {
	f.promptRows = f.mix(format)
	e, err := f.loadFor(ctx, a)
	if err != nil {
		return nil, err
	}
	defer closeEngine(e, &err)
	if job.Resumed() > 0 {
		a.log.Info().Int64("lines", job.Resumed()).Msg("going on where an earlier run stopped")
	}
	stop, err := f.stats.watch(e)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, stop()) }()
	meter := newBatchMeter(a, e, a.bars() && !f.live.on)
	hide := f.live.start(ctx, a, e)
	interrupt := func() { _ = src.Close() }
	if format == input.Parquet {
		interrupt = nil // a file keeps nobody waiting
	}
	err = job.Run(ctx, batch.Work{
		Source: src, JSON: format == input.JSONL, Chat: f.chat, Defaults: f.defaults,
		Answerer: batch.NewEngine(e, f.special),
		// A few more than have a place, so that a place is never empty.
		Workers:   f.seqs + f.seqs/4 + 1,
		Interrupt: interrupt,
		Progress:  meter.show,
	})
	meter.done()
	err = firstError(err, hide())
	if bulky := job.Bulky(); bulky != nil {
		a.log.Warn().Err(bulky).Msg("the output is complete; its journal could not be made small")
	}
	if err != nil {
		t := job.Totals()
		a.log.Info().Int64("finished", t.Requests).Msg("not done yet: the same command goes on from here")
		return nil, err
	}
	return meter.summary(f, job), proof.commit(e, &f.engineFlags, f.proven(job, format))
}

// loadFor loads the model for as many requests at once as was asked. Unasked it
// takes fewer where the memory is too small for the usual number.
func (f *batchFlags) loadFor(ctx context.Context, a *app) (*stages.Engine, error) {
	const usual = 32
	if f.seqs = f.inflight; f.seqs > 0 {
		return f.load(ctx, a, nil)
	}
	for f.seqs = usual; ; f.seqs /= 2 {
		e, err := f.load(ctx, a, nil)
		if !stages.TooLarge(err) || f.seqs == 1 {
			return e, err
		}
		a.log.Info().Int("requests", f.seqs/2).Msg("the memory is too small for more requests at once; shorter ones (--ctx) or a smaller cache (--kv) would leave room")
	}
}

// told are the defaults as the summary tells them.
func (f *batchFlags) told() batchDefaults {
	d := f.defaults
	if d.Stop == nil {
		d.Stop = []string{}
	}
	return batchDefaults{d.MaxTokens, params(d.Sampling), d.Stop, d.IgnoreEOS}
}

func params(p sample.Params) batchSampling {
	return batchSampling{p.Temperature, p.TopK, p.TopP, p.MinP, p.Seed}
}

// conclude writes the summary and gives the exit code of the job.
func (a *app) conclude(sum *batchSummary, file *atomicfile.File) error {
	if file != nil {
		if err := sum.write(file); err != nil {
			return err
		}
	}
	if sum.Failed == 0 {
		return nil
	}
	a.log.Warn().Int64("failed", sum.Failed).Int64("requests", sum.Requests).
		Msg("some lines are error lines; they say why")
	return errSomeFailed
}
