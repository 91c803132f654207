package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/gguf/atomicfile"
	"tritflow/gguf/vocab"
	"tritflow/stages"
	"tritflow/stages/trace"
)

const runHelp = `Continue a prompt, or answer it with --chat.

The prompt comes from -p, from a file with -f, or from standard input (less one
newline at its end). Several -p go through the pipeline at the same time; their
answers are printed in order, each followed by a newline. --json prints one
object a prompt and line:

  index prompt text tokens finish_reason
  usage{prompt_tokens, completion_tokens}
  timings{load_ms, prefill_tok_s, decode_tok_s, first_token_ms}

tokens are the generated ids without the end token that stopped them;
finish_reason is stop, length, cancelled, timeout or error (with a field "error");
a figure that cannot be given is null.

Ctrl-C ends the answers where they are. ` + exitHelp

// runFlags are the flags of run.
type runFlags struct {
	engineFlags
	samplingFlags
	statsFlag
	viewFlag
	receiptFlag
	prompts []string
	file    string
	chat    bool
	special bool
	json    bool
	stats   bool
	trace   string
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [-m MODEL] [-p TEXT ... | -f FILE]",
		Short: "Continue or answer prompts",
		Long:  runHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.run(ctx, &f) }),
	}
	f.engineFlags.add(cmd)
	fs := cmd.Flags()
	f.samplingFlags.add(fs, 0, 0, 1)
	f.statsFlag.add(fs)
	f.viewFlag.add(fs)
	f.receiptFlag.add(fs)
	fs.StringArrayVarP(&f.prompts, "prompt", "p", nil, "prompt (may be given several times)")
	fs.StringVarP(&f.file, "file", "f", "", "read the prompt from this file (-: standard input)")
	fs.BoolVar(&f.chat, "chat", false, "the prompt is a message of a user, put through the model's chat template")
	fs.BoolVar(&f.special, "special", true, "special tokens written in a prompt are taken as such (never with --chat)")
	fs.BoolVar(&f.json, "json", false, "print one JSON object for each prompt")
	fs.BoolVar(&f.stats, "stats", false, "report speeds, stages and memory on standard error")
	fs.StringVar(&f.trace, "trace", "", "write what each stage did to this file (Chrome trace-event format)")
	atMostOne(cmd, "prompt", "file")
	return cmd
}

// run answers all prompts through one engine.
func (a *app) run(ctx context.Context, f *runFlags) (err error) {
	if err := f.prepare(a); err != nil {
		return err
	}
	if err := f.check(a); err != nil {
		return err
	}
	err = apart([]place{{"-m", f.engineFlags.path}, {"-f", f.file}}, []place{{"--trace", f.trace}, {"--receipt", f.receiptFlag.path}, {"--stats-file", f.statsFlag.path}})
	if err != nil {
		return err
	}
	prompts, err := f.read(ctx, a)
	if err != nil {
		return err
	}
	var rec *trace.Recorder
	if f.trace != "" {
		rec = trace.New()
		var file *atomicfile.File
		if file, err = reserve(f.trace); err != nil {
			return err
		}
		defer func() { err = writeTrace(file, rec, err) }()
	}
	if err := f.settle(ctx, a); err != nil {
		return err
	}
	if err := f.provable(prompts); err != nil {
		return err
	}
	proof, err := f.begin(ctx, &f.fileFlags, nil)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, proof.abort()) }()
	e, err := f.load(ctx, a, rec)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	stop, err := f.watch(e)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, stop()) }()

	hide := f.start(ctx, a, e)
	answers, err := a.answerAll(ctx, f, e, prompts)
	if err = firstError(err, hide()); err != nil {
		return err
	}
	if err := proof.commit(e, &f.engineFlags, func(r *receipt.Receipt) { r.Run = f.receipt(answers) }); err != nil {
		return err
	}
	if f.stats {
		return a.printStats(e, answers)
	}
	return nil
}

// answerAll has every prompt under way at the same time and prints the answers
// in order. A request that fails does not end the others; the first failure is
// returned when all have ended. A failure to print ends them all.
func (a *app) answerAll(ctx context.Context, f *runFlags, e *stages.Engine, prompts []string) ([]*answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make([]*answer, len(prompts))
	for i, p := range prompts {
		answers[i] = newAnswer(i, p)
	}
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		// Submit waits while the engine's queue is full, so it must not stand in
		// the way of printing.
		for _, ans := range answers {
			stream, err := f.submit(ctx, e, ans.prompt)
			group.Go(func() { ans.follow(stream, err) })
		}
	})
	for _, ans := range answers {
		if err := ans.print(a.out, f.json, e.LoadTime()); err != nil {
			cancel()
			return nil, err
		}
	}
	for i, ans := range answers {
		if ans.err != nil {
			return nil, promptError(prompts, i, ans.err)
		}
	}
	return answers, nil
}

// read collects the prompts.
func (f *runFlags) read(ctx context.Context, a *app) ([]string, error) {
	switch {
	case len(f.prompts) > 0:
		return f.prompts, nil
	case f.file != "" && f.file != "-":
		text, err := readFile(ctx, f.file)
		return []string{trimNewline(text)}, err
	}
	text, err := a.readInput(ctx, "the prompt")
	return []string{trimNewline(text)}, err
}

// submit queues one prompt.
func (f *runFlags) submit(ctx context.Context, e *stages.Engine, prompt string) (*stages.Stream, error) {
	r := f.request()
	if err := f.prompt(&r, e.Vocab(), prompt); err != nil {
		return nil, err
	}
	return e.Submit(ctx, r)
}

// prompt puts one prompt into a request, as text or as a chat of one message.
func (f *runFlags) prompt(r *stages.Request, v *vocab.Vocab, text string) error {
	if !f.chat {
		if text == "" {
			return usagef("the prompt is empty: write something after -p, into the file of -f or to standard input")
		}
		r.Prompt, r.NoSpecial = text, !f.special
		return nil
	}
	if text == "" {
		return usagef("the message is empty: write something after -p, into the file of -f or to standard input")
	}
	t, err := v.Template()
	if err != nil {
		return wrapModel(err)
	}
	r.Segments, err = t.Render([]vocab.Message{{Role: "user", Content: text}}, true)
	return wrapModel(err)
}

// promptError says which of several prompts an error is about.
func promptError(prompts []string, i int, err error) error {
	if len(prompts) == 1 {
		return err
	}
	return fmt.Errorf("prompt %d of %d: %w", i+1, len(prompts), err)
}

// writeTrace finishes the trace file, also after a failure of the run: the
// trace may show why.
func writeTrace(file *atomicfile.File, rec *trace.Recorder, err error) error {
	if _, werr := rec.WriteTo(file); werr != nil {
		return firstError(err, firstError(werr, file.Abort()))
	}
	return firstError(err, file.Commit())
}

func firstError(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
