package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tritflow/stages"
)

const embedHelp = `Turn texts into vectors with a model of embeddings (BitNet-embedding and others
whose file says how it pools).

The texts come from -p, or one a line from standard input. A line of numbers is
printed for each, in order; with --json an object:

  index text tokens embedding

Vectors have length 1, so that the product of two is the cosine between them;
--normalize=false prints them as the model makes them.`

type embedFlags struct {
	engineFlags
	prompts   []string
	special   bool
	normalize bool
	json      bool
}

func (a *app) embedCommand() *cobra.Command {
	var f embedFlags
	cmd := &cobra.Command{
		Use:   "embed -m FILE [-p TEXT ...]",
		Short: "Turn texts into vectors",
		Long:  embedHelp,
		Args:  arguments(0, 0),
		RunE:  a.do(func(ctx context.Context, _ []string) error { return a.embed(ctx, &f) }),
	}
	f.engineFlags.add(cmd)
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.prompts, "prompt", "p", nil, "text (may be given several times)")
	fs.BoolVar(&f.special, "special", true, "special tokens written in a text are taken as such")
	fs.BoolVar(&f.normalize, "normalize", true, "scale vectors to length 1")
	fs.BoolVar(&f.json, "json", false, "print one JSON object for each text")
	return cmd
}

// embedded is the line that --json prints for a text.
type embedded struct {
	Index     int       `json:"index"`
	Text      string    `json:"text"`
	Tokens    int       `json:"tokens"`
	Embedding []float32 `json:"embedding"`
}

func (a *app) embed(ctx context.Context, f *embedFlags) (err error) {
	texts := f.prompts
	if len(texts) == 0 {
		all, err := a.readInput(ctx, "texts, one a line")
		if err != nil {
			return err
		}
		texts = strings.Split(strings.ReplaceAll(trimNewline(all), "\r\n", "\n"), "\n")
	}
	e, err := f.load(ctx, a, nil)
	if err != nil {
		return err
	}
	defer closeEngine(e, &err)
	return a.embedAll(ctx, f, e, texts)
}

// embedAll has several texts under way and prints the vectors in order.
func (a *app) embedAll(ctx context.Context, f *embedFlags, e *stages.Engine, texts []string) error {
	const ahead = 64 // texts under way or waiting to be printed
	type result struct {
		embedding stages.Embedding
		err       error
	}
	group, ctx := errgroup.WithContext(ctx)
	turns := make(chan chan result, ahead)
	group.Go(func() error {
		defer close(turns)
		for _, text := range texts {
			turn := make(chan result, 1)
			select {
			case turns <- turn:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			group.Go(func() error {
				v, err := e.Embed(ctx, stages.Request{Prompt: text, NoSpecial: !f.special})
				turn <- result{v, err}
				return nil // the printer meets it in its turn
			})
		}
		return nil
	})
	group.Go(func() error {
		i := 0
		for turn := range turns {
			r := <-turn
			if r.err != nil {
				return textError(texts, i, r.err)
			}
			if f.normalize {
				r.embedding.Normalize()
			}
			if err := f.print(a.out, embedded{i, texts[i], r.embedding.Tokens, r.embedding.Vector}); err != nil {
				return err
			}
			i++
		}
		return nil
	})
	return group.Wait()
}

// textError says which of several texts an error is about.
func textError(texts []string, i int, err error) error {
	if len(texts) == 1 {
		return err
	}
	return fmt.Errorf("text %d of %d: %w", i+1, len(texts), err)
}

func (f *embedFlags) print(out *output, r embedded) error {
	if f.json {
		return out.json(r, false)
	}
	var line []byte
	for i, v := range r.Embedding {
		if i > 0 {
			line = append(line, ' ')
		}
		line = strconv.AppendFloat(line, float64(v), 'g', -1, 32)
	}
	_, err := out.Write(append(line, '\n'))
	return err
}
