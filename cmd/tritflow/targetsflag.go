package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"tritflow/bench"
	"tritflow/cmd/tritflow/internal/suites"
	"tritflow/cmd/tritflow/internal/targets"
)

// errMissed: bench has said which targets are missed.
var errMissed = errors.New("targets are missed")

// targetsFlag judges a report.
type targetsFlag struct {
	targets string
	set     *targets.Set
}

func (f *targetsFlag) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.targets, "validate-targets", "", "judge the figures by these targets: seed, tritflow, or a JSON file")
}

// readTargets reads them before anything is measured.
func (f *targetsFlag) readTargets() (err error) {
	if f.targets != "" {
		f.set, err = targets.Read(f.targets)
	}
	return err
}

// judged is what is printed of targets.
type judged struct {
	Name     string            `json:"name"`
	Pass     bool              `json:"pass"`
	Verdicts []targets.Verdict `json:"verdicts"`
}

// judge measures what a report does not have and compares with the targets.
func (a *app) judge(ctx context.Context, f *benchFlags, r *bench.Report) error {
	engine := f.engine(a)
	engine.Log = zerolog.Nop()
	figures, err := suites.Figures(ctx, suites.Options{Path: f.path, Engine: engine}, r)
	if err != nil {
		return err
	}
	j := judged{Name: f.set.Name}
	j.Verdicts, j.Pass = f.set.Judge(figures)
	if f.json {
		err = a.out.json(struct {
			*bench.Report
			Targets judged `json:"targets"`
		}{r, j}, true)
	} else {
		err = j.write(a.out)
	}
	if err == nil && !j.Pass {
		err = errMissed
	}
	return err
}

func (j *judged) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\ntargets of %s\tfound\twanted\t\t\n", j.Name)
	for _, v := range j.Verdicts {
		value, verdict := v.Skipped, "-"
		if v.Value != nil {
			value, verdict = fmt.Sprintf("%.6g", *v.Value), "pass"
			if !v.Pass {
				verdict = "MISSED"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", v.Metric, value, v.Target, verdict, v.Why)
	}
	return t.Flush()
}
