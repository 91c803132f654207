package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tritflow/cmd/tritflow/internal/score"
	"tritflow/cmd/tritflow/internal/strictjson"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

const scoreHelp = `Log-probabilities of given continuations: how likely a model thinks each -c TEXT
is after the prompt -p TEXT, the likeliest first.

Prompt and continuation are tokenized as one text (with the begin token where the
file says so); counted are the tokens from the first one that the prompt alone
does not have. -f FILE reads many, one JSON object a line (- is standard input):

  {"prompt": "The capital of France is", "continuations": [" Paris.", " Rome."]}

Several texts are compared fairly by "byte", the log-probability divided by the
bytes of the continuation. --json prints one object a prompt:

  prompt continuations[]{text, tokens[], logprobs[], logprob, mean, byte, greedy}

with the continuations in the order in which they were given. Logarithms are
natural.

` + exitHelp

type scoreFlags struct {
	engineFlags
	prompt string
	texts  []string
	file   string
	json   bool
}

// scoreTask is a prompt and what may follow it.
type scoreTask struct {
	Prompt        string   `json:"prompt"`
	Continuations []string `json:"continuations"`

	where string // it comes from, for errors; "" = the command line
}

func (a *app) scoreCommand() *cobra.Command {
	var f scoreFlags
	cmd := &cobra.Command{
		Use:   "score [-m FILE] (-p PROMPT -c TEXT ... | -f FILE)",
		Short: "Print the log-probabilities of given continuations",
		Long:  scoreHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.score(ctx, &f) }),
	}
	f.add(cmd, "c")
	fs := cmd.Flags()
	fs.StringVarP(&f.prompt, "prompt", "p", "", "text before the continuation")
	fs.StringArrayVarP(&f.texts, "continuation", "c", nil, "text to score (may be given several times)")
	fs.StringVarP(&f.file, "file", "f", "", "file of prompts and continuations, one JSON object a line; - is standard input")
	fs.BoolVar(&f.json, "json", false, "print one JSON object a prompt")
	atMostOne(cmd, "continuation", "file")
	atMostOne(cmd, "prompt", "file")
	return cmd
}

func (a *app) score(ctx context.Context, f *scoreFlags) (err error) {
	if len(f.texts) == 0 && f.file == "" {
		return usagef("there is nothing to score: give texts with -c, or a file of them with -f")
	}
	tasks := []scoreTask{{Prompt: f.prompt, Continuations: f.texts}}
	if f.file != "" {
		if tasks, err = a.scoreTasks(ctx, f.file); err != nil {
			return err
		}
	}
	for _, t := range tasks {
		if slices.Contains(t.Continuations, "") {
			return t.failed(usagef("a continuation is empty: there is nothing to score"))
		}
	}
	e, err := f.load(ctx, a, nil)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	for _, t := range tasks {
		list, err := t.run(ctx, e)
		if err != nil {
			return t.failed(err)
		}
		if f.json {
			err = writeJSON(a.out, map[string]any{"prompt": t.Prompt, "continuations": list}, false)
		} else {
			err = a.out.print(scoreText(&t, list))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scoreTasks reads a file of tasks; an error names the line.
func (a *app) scoreTasks(ctx context.Context, path string) ([]scoreTask, error) {
	text, name, err := a.textFile(ctx, path)
	if err != nil {
		return nil, err
	}
	var tasks []scoreTask
	text = strings.TrimPrefix(text, "\ufeff") // the mark that some editors begin a file with
	for i, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		t := scoreTask{where: fmt.Sprintf("%s, line %d", name, i+1)}
		if err := strictjson.Decode([]byte(line), &t); err != nil {
			return nil, t.failed(&usageError{err})
		}
		if len(t.Continuations) == 0 {
			return nil, t.failed(usagef("there are no continuations"))
		}
		tasks = append(tasks, t)
	}
	if len(tasks) == 0 {
		return nil, usagef("%s has no lines", name)
	}
	return tasks, nil
}

// failed says which of several tasks an error is about.
func (t *scoreTask) failed(err error) error {
	if t.where == "" {
		return err
	}
	return fmt.Errorf("%s: %w", t.where, err)
}

func (t *scoreTask) run(ctx context.Context, e *stages.Engine) ([]*score.Continuation, error) {
	opt := vocab.EncodeOptions{}
	first, has := begin(e.Vocab())
	encode := func(text string) []int32 {
		ids := e.Vocab().Encode(text, opt)
		if has {
			ids = append([]int32{first}, ids...)
		}
		return ids
	}
	prompt := encode(t.Prompt)
	var list []*score.Continuation
	for _, text := range t.Continuations {
		whole := encode(t.Prompt + text)
		c, err := score.Score(ctx, e, whole, score.Split(prompt, whole), text)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// scoreText prints the likeliest first, by bytes.
func scoreText(t *scoreTask, list []*score.Continuation) string {
	var b strings.Builder
	if t.Prompt != "" {
		fmt.Fprintf(&b, "%s\n", t.Prompt)
	}
	order := append([]*score.Continuation(nil), list...)
	sortByBytes(order)
	for _, c := range order {
		mark := ""
		if c.Greedy {
			mark = "  (greedy)"
		}
		fmt.Fprintf(&b, "%10.4f  %8.4f a byte  %3d tokens  %q%s\n", c.LogProb, c.Byte, len(c.Tokens), c.Text, mark)
	}
	return b.String()
}

func sortByBytes(list []*score.Continuation) {
	slices.SortStableFunc(list, func(a, b *score.Continuation) int { return cmp.Compare(b.Byte, a.Byte) })
}
