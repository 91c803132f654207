package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tritflow/cmd/tritflow/internal/dialog"
	"tritflow/graph"
	"tritflow/stages"
)

const chatHelp = `Talk with a model. Every line of standard input is a message; the answers
stream to standard output. A line /clear forgets what was said, /bye leaves.

Ctrl-C stops the answer; pressed again where a message is awaited, or Ctrl-D there,
it leaves the program (exit code 0). When the history no longer fits the context,
its oldest turns are dropped.`

type chatFlags struct {
	engineFlags
	samplingFlags
	system string
}

func (a *app) chatCommand() *cobra.Command {
	var f chatFlags
	cmd := &cobra.Command{
		Use:   "chat [-m MODEL]",
		Short: "Talk with a model",
		Long:  chatHelp,
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.body(func(ctx context.Context, _ []string) error { return a.chat(ctx, &f) })(cmd.Context(), args)
		},
	}
	f.engineFlags.add(cmd)
	fs := cmd.Flags()
	f.samplingFlags.add(fs, 0.7, 40, 0.95)
	alsoNamed(fs, llamaChatNames)
	fs.StringVar(&f.system, "system", "", "system message")
	return cmd
}

func (a *app) chat(ctx context.Context, f *chatFlags) (err error) {
	if err := f.prepare(a); err != nil {
		return err
	}
	loading, stop := interruptible(ctx)
	e, err := f.load(loading, a, nil)
	stop()
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	if e.Model().Head.Pooling != graph.PoolNone {
		return &stages.KindError{Asked: "chat", Makes: "embeddings"}
	}
	d, err := dialog.New(e.Vocab(), f.system)
	if err != nil {
		return wrapModel(err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	t := &talk{app: a, flags: f, engine: e, dialog: d, signals: signals, lines: readLines(a.in)}
	return t.run(ctx)
}

// talk is a chat at work.
type talk struct {
	app     *app
	flags   *chatFlags
	engine  *stages.Engine
	dialog  *dialog.Dialog
	signals <-chan os.Signal
	lines   <-chan line
}

// line is one line of input, or the error that ended it.
type line struct {
	text string
	err  error
}

// readLines reads lines on a goroutine of its own, because a read cannot be
// interrupted. The goroutine ends with the input, or with the process.
func readLines(r io.Reader) <-chan line {
	lines := make(chan line)
	go func() {
		defer close(lines)
		in := bufio.NewReader(r)
		for {
			text, err := in.ReadString('\n')
			if text != "" {
				lines <- line{text: trimNewline(text)}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					lines <- line{err: err}
				}
				return
			}
		}
	}()
	return lines
}

// run goes through the turns until the input ends or the user leaves.
func (t *talk) run(ctx context.Context) error {
	if t.person() {
		t.app.log.Info().Msg("a line is a message; Ctrl-C stops an answer, /clear forgets what was said, /bye leaves")
	}
	interrupted := false // the last thing that happened was a Ctrl-C
	for {
		t.ask()
		select {
		case s := <-t.signals:
			if s != os.Interrupt {
				return &signalError{s}
			}
			if interrupted {
				return nil
			}
			interrupted = true
			t.app.log.Info().Msg("Ctrl-C again, or Ctrl-D, leaves")
		case l, ok := <-t.lines:
			if !ok || l.err != nil {
				return l.err
			}
			interrupted = false
			switch strings.TrimSpace(l.text) {
			case "":
				continue
			case "/bye", "/exit", "/quit":
				return nil
			case "/clear":
				for t.dialog.Forget() {
				}
				continue
			}
			var err error
			if interrupted, err = t.turn(ctx, l.text); err != nil {
				return err
			}
		}
	}
}

// person tells whether somebody sits there.
func (t *talk) person() bool {
	in, ok := t.app.in.(*os.File)
	return ok && t.app.terminal && term.IsTerminal(int(in.Fd()))
}

// ask shows a person that a message is awaited.
func (t *talk) ask() {
	if t.person() {
		_, _ = io.WriteString(t.app.err, "> ") // a prompt that cannot be shown stops nothing
	}
}

// turn answers one message. A failed request is reported and taken out of the
// history; only what ends the chat is returned.
func (t *talk) turn(ctx context.Context, text string) (interrupted bool, err error) {
	ids, err := t.fit(text)
	if err != nil {
		return false, err
	}
	r := t.flags.request()
	r.Tokens = ids
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := t.engine.Submit(ctx, r)
	if err != nil {
		t.app.log.Error().Msg(err.Error())
		t.dialog.Withdraw()
		return false, nil
	}
	ans := newAnswer(0, text)
	go ans.follow(stream, nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case s := <-t.signals:
			cancel(&signalError{s})
		case <-ans.done:
		}
	}()
	err = ans.print(t.app.out, false, 0)
	cancel(nil)
	<-ans.done
	<-watched
	if err != nil {
		return false, err
	}
	var sig *signalError
	switch interrupted = errors.As(context.Cause(ctx), &sig); {
	case interrupted && sig.signal != os.Interrupt:
		return true, sig
	case !interrupted && ans.err != nil:
		t.app.log.Error().Msg(ans.err.Error())
		if len(ans.result.Tokens) == 0 {
			t.dialog.Withdraw()
			return false, nil
		}
	}
	t.dialog.Answer(ans.text.String(), ans.result.Tokens)
	return interrupted, nil
}

// fit gives the prompt for a message, with as much of the history as leaves a
// quarter of the context, or room for the longest answer, free.
func (t *talk) fit(text string) ([]int32, error) {
	room := t.engine.Ctx() - min(t.flags.max, t.engine.Ctx()/4)
	ids, err := t.dialog.Ask(text)
	if err != nil || len(ids) <= room {
		return ids, wrapModel(err)
	}
	if alone, err := t.dialog.Alone(text); err != nil || len(alone) > t.engine.Ctx() {
		// No forgetting would help: the engine refuses it, with the figures.
		return alone, wrapModel(err)
	}
	for len(ids) > room {
		t.dialog.Withdraw()
		if !t.dialog.Forget() {
			return t.dialog.Ask(text)
		}
		t.app.log.Warn().Int("ctx", t.engine.Ctx()).Msg("the oldest turn was dropped: the chat no longer fits the context (--ctx)")
		if ids, err = t.dialog.Ask(text); err != nil {
			return nil, wrapModel(err)
		}
	}
	return ids, nil
}
