package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/check"
	"tritflow/gguf"
)

const checkHelp = `Examine a model file: what is in it, which program wrote it and how one can tell,
whether it will run here, in how much memory and how fast, and what is wrong with it:
damage, headers that contradict the tensors, weights in the byte order of another
processor, lost scales and norms, swapped matrices, a tokenizer or chat template of
another model. Every weight is read, and a short English text is run through the
network (--trials). One fault does not hide the others. Findings are reasons why
the model will not run, faults with which it runs and answers wrongly, and warnings.
What is inferred from statistics says how sure it is.

--repair OUT writes a mended copy: everything that can be put right without loss,
and what --fix names besides. The original is never changed, OUT appears whole or
not at all, and it is examined again. What cannot be mended says what to do.

--against ENGINE says whether another engine loads the file: llama.cpp, bitnet.cpp, ik.

--json prints one object:

  file, ok, healthy, contents{}, origin{program, marks[], sure}, here{}, trial{}, engine{},
  reasons[], wrong[], warnings[]: {kind, cause, tensor, message, sure, fix{name, what, lossless, asked, command}}

and with --repair {before, out, done[], after}. docs/check.md lists the causes.

Exit codes: 0 nothing is wrong (with --repair: with what was written; with --against:
that engine runs it rightly), 3 it runs and answers wrongly, 2 it will not run, 1 failed
while working.`

type checkFlags struct {
	fileFlags
	json    bool
	repair  string
	fixes   []string
	against string
	trials  string
	measure bool
	quick   bool
}

// errAnswersWrongly: check has said why already.
var errAnswersWrongly = fmt.Errorf("the model will answer wrongly: %w", errSomeFailed)

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [-m FILE | FILE] [--repair OUT]",
		Short: "Say what a model file is, what is wrong with it, and mend it",
		Long:  checkHelp,
		Args:  arguments(0, 1),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if err := f.take(args); err != nil {
				return err
			}
			return a.check(ctx, &f)
		}),
	}
	fs := cmd.Flags()
	f.addModel(fs)
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.StringVar(&f.repair, "repair", "", "write a mended copy to this file")
	fs.StringSliceVar(&f.fixes, "fix", nil, "with --repair: also make the fix of this name (may be given several times)")
	fs.StringVar(&f.against, "against", "", "say whether another engine loads the file: "+strings.Join(check.Engines(), ", "))
	fs.StringVar(&f.trials, "trials", "auto", "run text through the network, to find what is mixed up: auto, all or off")
	fs.BoolVar(&f.measure, "measure", false, "measure the speed by running parts of the model, instead of estimating it from the memory's bandwidth")
	fs.BoolVar(&f.quick, "quick", false, "measure nothing and run no text (every weight is still read)")
	atMostOne(cmd, "quick", "measure")
	atMostOne(cmd, "quick", "trials")
	return cmd
}

// options are those of the examination.
func (f *checkFlags) options() (check.Options, error) {
	o := check.Options{Pre: f.pre, Against: f.against, Speed: check.SpeedQuick}
	switch f.trials {
	case "auto":
	case "all":
		o.Trials = check.TrialsAll
	case "off":
		o.Trials = check.TrialsOff
	default:
		return o, usagef("--trials %q: write auto, all or off", f.trials)
	}
	if f.measure {
		o.Speed = check.SpeedMeasured
	}
	if f.quick {
		o.Trials, o.Speed = check.TrialsOff, check.SpeedOff
	}
	switch {
	case f.against != "" && !slices.Contains(check.Engines(), f.against):
		return o, usagef("--against %q: known are %s", f.against, strings.Join(check.Engines(), ", "))
	case len(f.fixes) > 0 && f.repair == "":
		return o, usagef("--fix needs --repair OUT: name the file to write")
	case f.repair != "" && f.path == "":
		return o, usagef("--repair needs a file to mend; the model inside the program needs none")
	}
	return o, nil
}

// asTold is how the flags say that the file is to be read.
func (f *checkFlags) asTold() gguf.Options { return f.reading() }

func (a *app) check(ctx context.Context, f *checkFlags) error {
	opt, err := f.options()
	if err != nil {
		return err
	}
	if f.settle(ctx, a) != nil {
		f.layout = "" // the report says why the file cannot be looked at
	}
	progress, done := a.progress("reading weights")
	opt.Progress = progress
	if f.repair != "" {
		return a.checkRepair(ctx, f, opt, done)
	}
	report, err := f.report(ctx, a, opt)
	done()
	if err != nil {
		return badOption(err)
	}
	if f.json {
		err = a.out.json(report, true)
	} else {
		err = a.out.print(checkText(report))
	}
	if err != nil {
		return err
	}
	return exitOf(report)
}

// badOption makes a wrong way of reading a file a wrong command line.
func badOption(err error) error {
	if errors.Is(err, gguf.ErrOption) {
		return &usageError{err}
	}
	return err
}

// exitOf is the exit code that a report asks for.
func exitOf(r *check.Report) error {
	switch {
	case r.Engine != nil && !r.Engine.Loads:
		return errWillNotRun
	case r.Engine != nil && !r.Engine.Right:
		return errAnswersWrongly
	case r.Engine != nil:
		return nil
	case !r.OK:
		return errWillNotRun
	case !r.Healthy:
		return errAnswersWrongly
	}
	return nil
}

func (a *app) checkRepair(ctx context.Context, f *checkFlags, opt check.Options, done func()) error {
	rep, err := check.Repair(ctx, f.path, f.repair, f.asTold(), opt, f.fixes)
	done()
	if err != nil {
		if is[*check.FixError](err) || is[*check.SameFileError](err) {
			return &usageError{err}
		}
		return badOption(err)
	}
	last := rep.After
	if last == nil {
		last = rep.Before
	}
	if f.json {
		err = a.out.json(rep, true)
	} else {
		err = a.out.print(repairText(rep))
	}
	if err != nil {
		return err
	}
	return exitOf(last)
}

// report looks at the file; what is wrong with it is in the report, an error is
// a failure to look.
func (f *checkFlags) report(ctx context.Context, a *app, opt check.Options) (*check.Report, error) {
	if f.path != "" {
		return check.Path(ctx, f.path, f.asTold(), opt)
	}
	file, err := f.open(a)
	if err != nil {
		return check.Unreadable(f.path, err), nil
	}
	report, err := check.File(ctx, file, opt)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return report, err
}
