package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/cmd/tritflow/internal/crossval/remote"
	"tritflow/gguf/atomicfile"
	"tritflow/stages"
)

const crossvalHelp = `Compare a model's numbers with those of a reference: every logit, the likeliest
tokens, greedy answers, perplexity, and, where the reference has them, the tensors
of every layer. The first layer that diverges is named.

--reference is one of

  FOLDER, FILE   a dump: float32 logits and ids, with an index (docs/crossval.md)
  llama.cpp      llama.cpp itself, in a child process: --python names a Python with
                 the package llama-cpp-python
  tritflow       another configuration: --ref-model, --ref-devices, --ref-kv,
                 --ref-isa
  http://HOST:PORT, https://HOST/PATH
                 a server: llama.cpp's, or any with OpenAI's /v1/completions. It is
                 asked which one it is (--ref-api says it instead), and for greedy
                 tokens and the --ref-top likeliest of each position. A key that it
                 wants is read from the environment variable ` + remote.KeyVariable + `.

-f FILE has one prompt a line (text, or {"tokens": [...]}); a dump has its own. The
reference continues each by -n greedy tokens; both are then compared at every
position with the same tokens before it, and our own answer with the reference's.
Of a server, only what it lists can be compared: there is no correlation then, no
MSE, no layer.

--tolerance is default (room for activations that are rounded the other way),
strict (float32 against float32), or a JSON file with some of: agreement generated
correlation max mean mse kl logprob perplexity layer tie. --override makes a mistake on
purpose, such as rope.freq_base=1000, swap=gate,up or 2:attn_sub_norm=off.

--deterministic N computes every prompt N times, alone, in company and one token at
a time, and compares SHA-256s. --platform FILE writes a baseline of this machine
there, or compares with the one that it finds.

--json prints one object, --html writes a page with plots. The exit code is 0 when
everything is within the limits and 1 when something is not.

` + exitHelp

// errDiverges: crossval has printed what diverges.
var errDiverges = errors.New("the numbers differ from the reference's")

type crossvalFlags struct {
	engineFlags
	reference string
	prompts   string
	n         int
	tolerance string
	overrides []string
	python    string
	threads   int
	keep      string
	layers    bool
	html      string
	json      bool

	refModel, refDevices, refKV, refISA string

	api, refName string
	top          int
	timeout      time.Duration

	deterministic int
	platform      string
}

func (a *app) crossvalCommand() *cobra.Command {
	var f crossvalFlags
	cmd := &cobra.Command{
		Use:   "crossval [-m FILE] --reference REFERENCE [-f PROMPTS]",
		Short: "Compare a model's numbers with a reference's",
		Long:  crossvalHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.crossval(ctx, &f) }),
	}
	f.add(cmd, "threads")
	fs := cmd.Flags()
	fs.StringVar(&f.reference, "reference", "", "a dump, llama.cpp, tritflow or the address of a server")
	fs.StringVarP(&f.prompts, "file", "f", "", "file of prompts, one a line; - is standard input (default: eight short ones)")
	fs.IntVarP(&f.n, "max-tokens", "n", 32, "greedy tokens after each prompt")
	fs.StringVar(&f.tolerance, "tolerance", "default", "default, strict, or a JSON file of limits")
	fs.StringArrayVar(&f.overrides, "override", nil, "run a wrong network: KEY=VALUE, or BLOCK:KEY=VALUE (may be given several times)")
	fs.StringVar(&f.python, "python", "python3", "Python for --reference llama.cpp")
	fs.IntVar(&f.threads, "threads", 0, "threads of llama.cpp (default: one a processor)")
	fs.StringVar(&f.keep, "keep", "", "folder to keep the reference's dump in")
	fs.BoolVar(&f.layers, "layers", false, "print every layer's difference")
	fs.StringVar(&f.html, "html", "", "write a page with plots there")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.StringVar(&f.refModel, "ref-model", "", "tritflow as the reference: its model file (default: the same)")
	fs.StringVar(&f.refDevices, "ref-devices", "", "tritflow as the reference: its devices (default: the same)")
	fs.StringVar(&f.refKV, "ref-kv", "", "tritflow as the reference: its type of keys and values (default: the same)")
	fs.StringVar(&f.refISA, "ref-isa", "", "tritflow as the reference: its kernels, for example generic (default: the same)")
	fs.StringVar(&f.api, "ref-api", remote.Auto, "a server as the reference: what it speaks, llama.cpp or openai (auto: it is asked)")
	fs.StringVar(&f.refName, "ref-name", "", "a server as the reference: the model's name there (default: the first that it lists)")
	fs.IntVar(&f.top, "ref-top", 20, "a server as the reference: log-probabilities of each position to ask for")
	fs.DurationVar(&f.timeout, "ref-timeout", 10*time.Minute, "a server as the reference: how long one answer may take")
	fs.IntVar(&f.deterministic, "deterministic", 0, "compare so many runs of every prompt with each other instead, by SHA-256")
	fs.StringVar(&f.platform, "platform", "", "compare with this baseline of another machine instead, or write it where it is not there")
	f.refuseIdle(cmd)
	return cmd
}

func (a *app) crossval(ctx context.Context, f *crossvalFlags) (err error) {
	tol, err := crossval.ToleranceNamed(f.tolerance)
	if err != nil {
		return &usageError{err}
	}
	if f.n < 0 {
		return usagef("-n %d is negative: give a number of tokens", f.n)
	}
	err = apart([]place{{"-m", f.path}, {"-f", f.prompts}, {"--reference", f.reference}, {"--ref-model", f.refModel}}, []place{{"--html", f.html}})
	if err != nil {
		return err
	}
	if f.html != "" && (f.deterministic != 0 || f.platform != "") {
		return usagef("--html shows a comparison with --reference: leave it out with --deterministic and --platform")
	}
	switch {
	case f.deterministic != 0:
		return f.repeats(ctx, a)
	case f.platform != "":
		return f.machines(ctx, a, tol)
	}
	page, err := reserve(f.html)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, abandon(page)) }()
	dump, clean, err := f.dump(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, clean()) }()
	e, err := f.start(ctx, a)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	opt := crossval.Options{
		Engine: e, Model: f.name(e), Ours: f.configuration(e), KV: f.kv, Tolerance: tol,
		Text: func(id int32) string { return string(e.Vocab().Piece(id, true)) },
	}
	var done func()
	opt.Progress, done = a.progress("comparing")
	r, err := crossval.Run(ctx, dump, opt)
	done()
	if err != nil {
		return err
	}
	return f.print(a, r, page)
}

// print writes the report in every form that was asked for.
func (f *crossvalFlags) print(a *app, r *crossval.Report, page *atomicfile.File) (err error) {
	if page != nil {
		if err := r.WriteHTML(page); err != nil {
			return err
		}
		if err := page.Commit(); err != nil {
			return err
		}
	}
	if f.json {
		err = a.out.json(r, true)
	} else {
		err = r.WriteText(a.out, f.layers)
	}
	if err == nil && !r.Pass {
		err = errDiverges
	}
	return err
}

// start loads the engine that is compared.
func (f *crossvalFlags) start(ctx context.Context, a *app) (*stages.Engine, error) {
	f.network = crossval.Override(f.overrides)
	return f.load(ctx, a, nil)
}

// configuration says how the engine runs.
func (f *engineFlags) configuration(e *stages.Engine) string {
	var on []string
	for _, d := range e.Devices() {
		i := d.Info()
		s := i.Name + " " + i.Tier
		if i.Workers > 0 {
			s += fmt.Sprintf(" (%d workers)", i.Workers)
		}
		on = append(on, s)
	}
	return fmt.Sprintf("tritflow %s on %s, KV cache %s", version(), strings.Join(on, " and "), f.kv)
}
