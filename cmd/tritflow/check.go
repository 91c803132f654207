package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/check"
	"tritflow/gguf"
)

const checkHelp = `Say whether a model file will run here, and if not, every reason: damage to the
file, an unknown architecture, missing or misshapen tensors, types without a
codec, weights or scales that are not finite, a vocabulary that cannot be used or
does not fit. Damage does not hide the rest: as long as the header can be read, everything
that is still there is looked at. What is odd but harmless is a warning. Every weight is read.

The exit code is 0 when the model will run and 2 when it will not.`

type checkFlags struct {
	fileFlags
	json bool
}

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say whether a model file will run, and if not, why",
		Long:  checkHelp,
		Args:  cobra.MaximumNArgs(1),
		RunE: a.do(func(ctx context.Context, args []string) error {
			if len(args) > 0 {
				f.path = args[0]
			}
			return a.check(ctx, &f)
		}),
	}
	fs := cmd.Flags()
	f.addReading(fs)
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	return cmd
}

func (a *app) check(ctx context.Context, f *checkFlags) error {
	progress, done := a.progress("reading weights")
	report, err := f.report(ctx, a, check.Options{Pre: f.pre, Progress: progress})
	done()
	if err != nil {
		return err
	}
	if f.json {
		err = a.out.json(report, true)
	} else {
		err = a.out.print(checkText(report))
	}
	if err == nil && !report.OK {
		err = errWillNotRun
	}
	return err
}

// report looks at the file; what is wrong with it is in the report, an error is
// a failure to look.
func (f *checkFlags) report(ctx context.Context, a *app, opt check.Options) (*check.Report, error) {
	file, faults, err := f.survey(a)
	if err != nil {
		return check.Unreadable(f.path, err), nil
	}
	opt.Faults = faults
	report, err := check.File(ctx, file, opt)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	return report, err
}

// survey opens the file although it may be damaged.
func (f *checkFlags) survey(a *app) (*gguf.File, []error, error) {
	if f.path == "" {
		file, err := f.open(a)
		return file, nil, err
	}
	return gguf.Survey(f.path, f.reading())
}

func checkText(r *check.Report) string {
	var b strings.Builder
	if r.OK {
		fmt.Fprintf(&b, "%s will run\n", r.File)
	} else {
		fmt.Fprintf(&b, "%s will not run:\n", r.File)
	}
	for _, p := range r.Reasons {
		fmt.Fprintf(&b, "  %s: %s\n", p.Kind, p.Message)
	}
	for _, p := range r.Warnings {
		fmt.Fprintf(&b, "  warning, %s: %s\n", p.Kind, p.Message)
	}
	return b.String()
}
