package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"tritflow/cmd/tritflow/internal/layout"
)

// autoLayout asks for the byte order of I2_S to be found out.
const autoLayout = "auto"

// settle replaces "auto" by what is found.
func (f *fileFlags) settle(ctx context.Context, a *app) error {
	if f.layout != autoLayout {
		return nil
	}
	f.layout = ""
	if f.path == "" {
		return nil // the model inside the program says it
	}
	return f.detect(ctx, a)
}

// settleUntold finds the byte order out where neither flag nor file says it.
func (f *fileFlags) settleUntold(ctx context.Context, a *app) error {
	if f.layout != "" && f.layout != autoLayout {
		return nil
	}
	f.layout = ""
	file, err := f.open(a)
	if err != nil {
		return err
	}
	needed := layout.Needed(file)
	if err := file.Close(); err != nil {
		return wrapModel(err)
	}
	if !needed {
		return nil
	}
	return f.detect(ctx, a)
}

func (f *fileFlags) detect(ctx context.Context, a *app) error {
	v, err := layout.Detect(ctx, f.path, layout.Options{Pre: f.pre})
	if err != nil {
		return openFailure(ctx, err)
	}
	if v.Told {
		return nil
	}
	f.layout = v.Layout
	e := a.log.Info()
	if v.Layout != "A" || v.Sure < 0.9 {
		e = a.log.Warn()
	}
	e.Msg(v.String())
	return nil
}

// inspectLayout prints what speaks for each layout.
func (a *app) inspectLayout(ctx context.Context, f *inspectFlags) error {
	v, err := layout.Detect(ctx, f.path, layout.Options{Pre: f.pre})
	if err != nil {
		return openFailure(ctx, err)
	}
	if f.json {
		return a.out.json(v, true)
	}
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, v)
	if len(v.Scores) > 0 {
		fmt.Fprintf(t, "\nlayout\tnats of the weights\tnats a token (chance %.2f)\n", v.Chance)
	}
	for _, s := range v.Scores {
		pass := fmt.Sprintf("%.3f", s.Loss)
		switch {
		case s.Problem != "":
			pass = "cannot: " + s.Problem
		case s.PassError != "":
			pass = "cannot: " + s.PassError
		}
		fmt.Fprintf(t, "%s\t%.1f\t%s\n", s.Layout, s.Structure, pass)
	}
	return t.Flush()
}
