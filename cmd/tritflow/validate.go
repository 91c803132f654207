package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/score"
	"tritflow/cmd/tritflow/internal/stability"
	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/quantkern"
)

const validateHelp = `Walk the layers of a model with one prompt and look at the numbers: how far int8
activations take each stage from an F32 forward of the same weights, how large
values get, how many codes saturate, and where the first value is that is not
finite. With --devices every stage also runs on these devices and is compared
with the walk; a CPU must give the same bits.

--tolerance is default, strict, or a JSON file with limits for all stages or
single ones:

  {"default": {"correlation": 0.998}, "stages": {"block 0": {"product_mse": 0.01}}}

  correlation, relative_mse                least and most, of what a stage hands
                                           over, against the F32 forward
  product_correlation, product_mse         of each product with int8 and float input
  absmax, saturated, device                most: any value; share of codes ±127;
                                           difference of a device from the walk

A figure beyond its limit names stage, tensor, metric, value and limit.

--json prints one object:

  model tokens kv devices tolerance pass problems[]{stage layer metric value threshold row column}
  layers[]{stage device points[]{name absmax non_finite against_f32{}}
           products[]{name in_absmax crest saturated vanished quantization{}}}
  logits{rows equal agreement kl kl_max mse mean max correlation ...}

` + exitHelp

// errInvalid: validate has printed what is wrong with the numbers.
var errInvalid = errors.New("the numbers are beyond their limits")

// validateTokens is the length of the prompt that layers are walked with unless
// another is given.
const validateTokens = 96

type validateFlags struct {
	fileFlags
	prompt    string
	tokens    int
	kv        string
	devices   string
	tolerance string
	verbose   bool
	json      bool
	all       allFlags
}

func (a *app) validateCommand() *cobra.Command {
	var f validateFlags
	cmd := &cobra.Command{
		Use:   "validate [-m FILE]",
		Short: "Walk the layers of a model and check their numbers",
		Long:  validateHelp + validateAllHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.validate(ctx, &f) }),
	}
	fs := cmd.Flags()
	f.addModel(fs)
	fs.StringVarP(&f.prompt, "prompt", "p", "", "text to walk with (default: stories inside the program)")
	fs.IntVarP(&f.tokens, "tokens", "n", validateTokens, "most tokens of it")
	fs.StringVar(&f.kv, "kv", "f16", "type of the key/value cache: f16, f32, q8_0 or q4_0")
	fs.StringVar(&f.devices, "devices", "cpu", "devices to compare with the walk, or none")
	fs.StringVar(&f.tolerance, "tolerance", "default", "default, strict, or a JSON file of limits")
	fs.BoolVar(&f.verbose, "layers", false, "print every product of every block too")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	f.all.add(cmd)
	// A walk of the layers is one suite of all, with limits and a text of its own.
	for _, name := range []string{"tolerance", "layers", "prompt", "tokens"} {
		atMostOne(cmd, "all", name)
	}
	only(cmd, "all", "baseline", "reference", "targets", "max-memory", "quick")
	return cmd
}

func (a *app) validate(ctx context.Context, f *validateFlags) error {
	if types := quantkern.KVTypes(); !slices.Contains(types, f.kv) {
		return usagef("--kv %q is no type of KV cache: use one of %s", f.kv, strings.Join(types, ", "))
	}
	if err := f.settle(ctx, a); err != nil {
		return err
	}
	if f.all.on {
		return f.all.run(ctx, a, f)
	}
	r, err := f.walk(ctx, a)
	if err != nil {
		return err
	}
	if f.json {
		err = a.out.json(r, true)
	} else {
		err = writeStability(a.out, r, f.verbose)
	}
	if err == nil && !r.Pass {
		err = errInvalid
	}
	return err
}

// walk opens the model and walks its layers.
func (f *validateFlags) walk(ctx context.Context, a *app) (r *stability.Report, err error) {
	opt := stability.Options{KV: f.kv, Devices: f.devices}
	if f.devices == "none" {
		opt.Devices = ""
	}
	if opt.Tolerance, err = stability.ToleranceNamed(f.tolerance); err != nil {
		return nil, &usageError{err}
	}
	if f.tokens < 1 {
		return nil, usagef("--tokens %d: give at least 1", f.tokens)
	}
	if opt.File, err = f.open(a); err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, opt.File.Close()) }()
	err = gguf.Guard(func() error {
		v, err := vocab.Load(opt.File.Metadata(), vocab.Options{Pre: f.pre})
		if err == nil {
			opt.Tokens = f.ids(v)
		}
		return wrapModel(err)
	})
	if err != nil {
		return nil, err
	}
	var done func()
	opt.Progress, done = a.progress("walking")
	r, err = stability.Run(ctx, opt)
	done()
	return r, err
}

// ids gives the tokens to walk with.
func (f *validateFlags) ids(v *vocab.Vocab) []int32 {
	text := f.prompt
	if text == "" {
		text = score.Text
	}
	ids := v.Encode(text, vocab.EncodeOptions{AddSpecial: true})
	return ids[:min(len(ids), f.tokens)]
}

// writeStability prints a line for each stage, what is wrong, and a verdict.
func writeStability(w io.Writer, r *stability.Report, products bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "stage\tabsmax\tcorrelation\tMSE\trelative\tworst product\tits correlation\tcrest\tsaturated\tdevice\t\n")
	for _, l := range r.Layers {
		p := l.Last()
		fmt.Fprintf(t, "%s\t%.4g\t%.6f\t%.3g\t%.2g\t", l.Stage, p.AbsMax, p.Figures.Correlation, p.Figures.MSE, p.Figures.RelativeMSE)
		if worst := l.WorstProduct(); worst != nil {
			fmt.Fprintf(t, "%s\t%.6f\t%.1f\t%.2f %%\t", worst.Name, worst.Figures.Correlation, worst.Crest, 100*worst.Saturated)
		} else {
			fmt.Fprint(t, "\t\t\t\t")
		}
		if l.Device != nil {
			fmt.Fprintf(t, "%.3g", *l.Device)
		}
		fmt.Fprintln(t, "\t")
		if products {
			for _, p := range l.Products {
				fmt.Fprintf(t, "\t%.4g\t%.6f\t%.3g\t%.2g\t%s\t\t%.1f\t%.2f %%\t\t\n", p.InAbsMax, p.Figures.Correlation, p.Figures.MSE,
					p.Figures.RelativeMSE, p.Name, p.Crest, 100*p.Saturated)
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	if l := &r.Logits; l.Rows > 0 {
		fmt.Fprintf(&b, "logits against the F32 forward: correlation %.6f, MSE %.3g, max %.3g, KL %.3g, same likeliest token at %d of %d positions\n",
			l.Correlation, l.MSE, l.Max, l.KL, l.Equal, l.Rows)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "FAIL %s\n", p)
	}
	if r.Pass {
		fmt.Fprintf(&b, "%s: %d stages within their limits (%s)\n", r.Model, len(r.Layers), r.Tolerance)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
