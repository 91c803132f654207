package main

import (
	"bytes"
	"context"
	"io"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"tritflow/cmd/tritflow/internal/view"
	"tritflow/stages"
)

// viewFlag asks for the live view.
type viewFlag struct{ on bool }

func (f *viewFlag) add(fs *pflag.FlagSet) {
	fs.BoolVar(&f.on, "view", false, "show the pipeline at work on the terminal (standard error)")
}

// check refuses a view that nobody could see.
func (f *viewFlag) check(a *app) error {
	if f.on && !a.terminal {
		return usagef("--view draws on a terminal, and standard error is none: leave it out, or use --stats-file")
	}
	return nil
}

// start shows the view until the returned function is called. What is printed
// to the same terminal meanwhile comes after it.
func (f *viewFlag) start(ctx context.Context, a *app, e *stages.Engine) (stop func() error) {
	if !f.on {
		return func() error { return nil }
	}
	var held bytes.Buffer
	out := a.out.w
	if term.IsTerminal(int(os.Stdout.Fd())) {
		a.out.w = &held
	}
	v := view.Start(ctx, a.err, "tritflow", e.Snapshot)
	return func() error {
		err := v.Stop(ctx)
		a.out.w = out
		_, werr := io.Copy(a.out, &held)
		return firstError(err, werr)
	}
}
