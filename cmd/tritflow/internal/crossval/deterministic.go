package crossval

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"
)

// Determinism says whether repeated runs gave the same bits; as JSON the object
// that `tritflow crossval --deterministic --json` prints.
type Determinism struct {
	Model string      `json:"model"`
	Ours  string      `json:"ours"`
	Pass  bool        `json:"pass"`
	Cases []*Repeated `json:"cases"`
}

// Repeated is one prompt.
type Repeated struct {
	Prompt string       `json:"prompt,omitempty"`
	Tokens []int32      `json:"tokens"`
	Answer []int32      `json:"answer"` // greedy, of the first run
	Runs   []Repetition `json:"runs"`
	Pass   bool         `json:"pass"`
}

// Repetition is one run of a prompt.
type Repetition struct {
	How    string `json:"how"` // "alone", "in company", "one token at a time"
	SHA256 string `json:"sha256"`
	Answer bool   `json:"same_answer"`
}

// Deterministic runs every prompt alone, repeats times, then one token at a
// time, then all prompts at once, and compares SHA-256s of all logits, and
// greedy answers of n tokens.
func Deterministic(ctx context.Context, e Engine, prompts []Prompt, n, repeats int) (*Determinism, error) {
	if err := checkPrompts(prompts); err != nil {
		return nil, err
	}
	d := &Determinism{Pass: true, Cases: []*Repeated{}}
	for _, p := range prompts {
		c := &Repeated{Prompt: p.Text, Tokens: p.Tokens}
		d.Cases = append(d.Cases, c)
		for range max(repeats, 2) {
			if err := c.run(ctx, e, "alone", n, false); err != nil {
				return nil, err
			}
		}
		if err := c.run(ctx, e, "one token at a time", n, true); err != nil {
			return nil, err
		}
	}
	g, all := errgroup.WithContext(ctx)
	for _, c := range d.Cases {
		g.Go(func() error { return c.run(all, e, "in company", n, false) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, c := range d.Cases {
		c.Pass = true
		for _, r := range c.Runs {
			c.Pass = c.Pass && r.Answer && r.SHA256 == c.Runs[0].SHA256
		}
		d.Pass = d.Pass && c.Pass
	}
	return d, nil
}

func (c *Repeated) run(ctx context.Context, e Engine, how string, n int, step bool) error {
	s, err := digest(ctx, e, c.Tokens, step)
	if err != nil {
		return fmt.Errorf("crossval: %s: %w", how, err)
	}
	answer, _, err := greedy(ctx, e, c.Tokens, n)
	if err != nil {
		return fmt.Errorf("crossval: %s: %w", how, err)
	}
	if len(c.Runs) == 0 {
		c.Answer = answer
	}
	c.Runs = append(c.Runs, Repetition{how, s.SHA256, slices.Equal(answer, c.Answer)})
	return nil
}

// WriteText prints a line a prompt.
func (d *Determinism) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "model      %s\nours       %s\n\n", d.Model, d.Ours)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\truns\tSHA-256 of all logits\t")
	for _, c := range d.Cases {
		verdict := "the same bits and tokens"
		if !c.Pass {
			verdict = "FAIL: runs differ"
		}
		fmt.Fprintf(t, "%s\t%d\t%.16s…\t%s\n", (&Case{Name: fmt.Sprint(c.Tokens), Prompt: c.Prompt}).title(), len(c.Runs), c.Runs[0].SHA256, verdict)
		if !c.Pass {
			for _, r := range c.Runs {
				fmt.Fprintf(t, "  %s\t\t%.16s…\tsame answer: %v\n", r.How, r.SHA256, r.Answer)
			}
		}
	}
	_ = t.Flush() // to a strings.Builder, which takes everything
	if d.Pass {
		fmt.Fprintf(&b, "pass: alone, in company and one token at a time, every run has the same bits\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
