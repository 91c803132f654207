package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/score"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

const perplexityHelp = `How surprised a model is by a text: exp of the mean negative log-probability of
its tokens. The logits come from the same pipeline as every answer.

The text (-f FILE, - for standard input; without -f a page of stories that is
part of the program) is taken as it is, special tokens are not looked for. It is
cut into windows of --window tokens, each with the begin token where the file
says so; --stride lets windows overlap, so that every token has more before it.

--json prints one object:

  model file tokens windows window stride logprob nll nll_error perplexity top1 tok_s

` + exitHelp

// defaultWindow is the usual one of published figures.
const defaultWindow = 512

type perplexityFlags struct {
	engineFlags
	file   string
	window int
	stride int
	json   bool
}

func (a *app) perplexityCommand() *cobra.Command {
	var f perplexityFlags
	cmd := &cobra.Command{
		Use:   "perplexity [-m FILE] [-f TEXT]",
		Short: "Say how surprised a model is by a text",
		Long:  perplexityHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.perplexity(ctx, &f) }),
	}
	f.add(cmd)
	fs := cmd.Flags()
	fs.StringVarP(&f.file, "file", "f", "", "text file, - for standard input (default: stories inside the program)")
	fs.IntVar(&f.window, "window", 0, "tokens the model sees at once (default: 512, or the context if that is smaller)")
	fs.IntVar(&f.stride, "stride", 0, "tokens by which windows move on (default: windows do not overlap)")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

// perplexityReport is what --json prints.
type perplexityReport struct {
	Model string `json:"model"`
	File  string `json:"file"`
	*score.Report
}

func (a *app) perplexity(ctx context.Context, f *perplexityFlags) (err error) {
	text, name, err := a.textFile(ctx, f.file)
	if err != nil {
		return err
	}
	e, err := f.load(ctx, a, nil)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	opt := score.Options{Window: f.window, Stride: f.stride}
	switch {
	case f.window == 0:
		opt.Window = min(defaultWindow, e.Ctx())
	case f.window < 0 || f.window > e.Ctx():
		return usagef("--window %d: the context has %d positions; give 3 to that many, or a larger --ctx", f.window, e.Ctx())
	}
	opt.First, opt.HasFirst = begin(e.Vocab())
	var done func()
	opt.Progress, done = a.progress("reading")
	r, err := score.Perplexity(ctx, e, e.Vocab().Encode(text, vocab.EncodeOptions{}), opt)
	done()
	if err != nil {
		return err
	}
	out := perplexityReport{f.name(e), name, r}
	if f.json {
		return a.out.json(out, true)
	}
	value := fmt.Sprintf("%.4f", r.Perplexity)
	if r.Perplexity >= 1e9 {
		value = fmt.Sprintf("%.4g", r.Perplexity)
	}
	return a.out.print(fmt.Sprintf("perplexity %s  (%.5f ± %.5f nats a token, %d tokens of %s in %d windows of at most %d, %.1f %% were the likeliest, %.0f tok/s)\n",
		value, r.NLL, r.Error, r.Tokens, name, r.Windows, r.Window, 100*r.Equal, r.TokS))
}

// begin is the token that stands before a text, if the file wants one.
func begin(v *vocab.Vocab) (int32, bool) {
	if id, ok := v.BOS(); ok && v.AddBOS() {
		return id, true
	}
	return 0, false
}

// name is what reports call the model.
func (f *engineFlags) name(e *stages.Engine) string {
	if f.path != "" {
		return f.path
	}
	return e.Model().Name
}

// textFile reads a text: of a file, of standard input ("-"), or the program's own ("").
func (a *app) textFile(ctx context.Context, path string) (text, name string, err error) {
	switch path {
	case "":
		return score.Text, "the program's stories", nil
	case "-":
		text, err = a.readInput(ctx, "a text")
		return text, "standard input", err
	}
	text, err = readFile(ctx, path)
	return text, path, err
}
