package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/spf13/cobra"
)

// app is what every command shares: the three streams and the log.
type app struct {
	in       io.Reader
	out      *output
	err      io.Writer
	terminal bool // stderr is a terminal
	log      zerolog.Logger
	logging  logFlags
	started  bool // a command's own code was reached: later errors are not about the command line
}

func newApp() *app {
	a := &app{
		in:       os.Stdin,
		out:      &output{w: os.Stdout},
		err:      os.Stderr,
		terminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
	a.log = a.newLogger(zerolog.InfoLevel)
	return a
}

// command is the body of a command. Its context ends with the first signal;
// the second one ends the process.
type command func(ctx context.Context, args []string) error

// do wraps a command's body for cobra.
func (a *app) do(body command) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := interruptible(cmd.Context())
		defer stop()
		return a.body(body)(ctx, args)
	}
}

// body marks the border between the command line and the command.
func (a *app) body(body command) command {
	return func(ctx context.Context, args []string) error {
		a.started = true
		err := body(ctx, args)
		if cause := context.Cause(ctx); is[*signalError](cause) {
			return cause // whatever failed because of it is not worth telling
		}
		return err
	}
}

// interruptible gives a context that ends, with a *signalError as its cause, at
// the first SIGINT or SIGTERM. After that signals have their default effect
// again, so that a second Ctrl-C always gets through.
func interruptible(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-signals:
			cancel(&signalError{s})
		case <-ctx.Done():
		}
		signal.Stop(signals)
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

// finish reports an error and returns the exit code.
func (a *app) finish(err error) int {
	code, quiet := exitCode(err)
	if !quiet {
		a.log.Error().Msg(err.Error())
	}
	return code
}
