package main

import (
	"context"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/fingerprint"
	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/gguf/atomicfile"
	"tritflow/stages"
	"tritflow/stages/sample"
)

// receiptFlag writes down what was computed from what.
type receiptFlag struct{ path string }

func (f *receiptFlag) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.path, "receipt", "", "write to this file what was computed from what; tritflow verify computes it again and compares")
}

// receiptFile is a receipt that will be written; nil where none was asked for.
type receiptFile struct {
	file  *atomicfile.File
	model *fingerprint.Model
}

// begin makes the file, so that a place that cannot be written is known before the
// work, and reads the model's hashes, unless the caller has them.
func (f *receiptFlag) begin(ctx context.Context, file *fileFlags, model *fingerprint.Model) (*receiptFile, error) {
	if f.path == "" {
		return nil, nil
	}
	out, err := atomicfile.Create(f.path, atomicfile.Options{Special: true})
	if err == nil && model == nil {
		if model, err = file.fingerprint(ctx); err != nil {
			err = firstError(err, out.Abort())
		}
	}
	if err != nil {
		return nil, err
	}
	return &receiptFile{out, model}, nil
}

// provable refuses prompts that a receipt cannot give back.
func (f *receiptFlag) provable(prompts []string) error {
	for i, p := range prompts {
		if f.path != "" && !utf8.ValidString(p) {
			return promptError(prompts, i, usagef("the prompt is not valid UTF-8, and a receipt, which is JSON, cannot hold it: mend the prompt, or leave --receipt out"))
		}
	}
	return nil
}

// commit writes the receipt that fill completes; e is nil where nothing was computed.
func (r *receiptFile) commit(e *stages.Engine, f *engineFlags, fill func(*receipt.Receipt)) error {
	if r == nil {
		return nil
	}
	out := receipt.New(version(), f.path, r.model)
	out.Settings = receipt.Settings{KV: f.kv, Ctx: f.ctx, Pre: f.pre, Layout: f.layout, Tiles: f.tiles, Q2: f.q2}
	if e != nil {
		out.On(e)
	}
	out.Ran.Screen, out.Ran.PrefixCache = f.screen, f.prefixCache != "off"
	fill(out)
	if err := out.Write(r.file); err != nil {
		return err
	}
	return r.file.Commit()
}

// abort leaves no file after a failure.
func (r *receiptFile) abort() error {
	if r == nil {
		return nil
	}
	return r.file.Abort()
}

func receiptOptions(tokens int, p sample.Params, stop []string, ignoreEOS bool) receipt.Options {
	return receipt.Options{MaxTokens: tokens, Sampling: receipt.Sampling(p), Stop: stop, IgnoreEOS: ignoreEOS}
}

// receipt of a run, whose answers have ended.
func (f *runFlags) receipt(answers []*answer) *receipt.Run {
	r := &receipt.Run{Chat: f.chat, Special: f.special, Options: receiptOptions(f.max, f.params, f.stop, f.ignoreEOS)}
	for _, ans := range answers {
		r.Answers = append(r.Answers, *receipt.NewAnswer(ans.prompt, ans.text.String(), ans.ids, &ans.result))
	}
	return r
}

// proven fills in the receipt of a job that is finished.
func (f *batchFlags) proven(job *batch.Job, format input.Format) func(*receipt.Receipt) {
	return func(r *receipt.Receipt) { r.Batch = f.entry(job, format) }
}

func (f *batchFlags) entry(job *batch.Job, format input.Format) *receipt.Batch {
	d, t, p := f.defaults, job.Totals(), job.Proof()
	return &receipt.Batch{
		Input: f.in, Output: f.out, Format: string(format), Column: f.columns.Prompt, IDColumn: f.columns.ID,
		Chat: f.chat, Special: f.special, Order: f.order,
		Defaults: receiptOptions(d.MaxTokens, d.Sampling, d.Stop, d.IgnoreEOS),
		Requests: t.Requests, Failed: t.Failed, PromptTokens: t.PromptTokens, CompletionTokens: t.CompletionTokens,
		InputDigest: p.Input, OutputBytes: p.Bytes, OutputSHA: p.Output, Draws: p.Draws,
	}
}
