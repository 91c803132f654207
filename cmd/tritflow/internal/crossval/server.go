package crossval

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"tritflow/cmd/tritflow/internal/crossval/remote"
)

// Server is a model server that is to become a dump.
type Server struct {
	remote.Options
	Progress func(done, total int) // prompts; may be nil
}

// Write asks for n greedy tokens after every prompt, and for the likeliest tokens
// of the positions that the server tells of. The folder must exist.
func (s *Server) Write(ctx context.Context, dir string, prompts []Prompt, n int) error {
	if err := checkPrompts(prompts); err != nil {
		return err
	}
	c, err := remote.Dial(ctx, s.Options)
	if err != nil {
		return err
	}
	defer c.Close()
	d := Dump{Engine: c.About()}
	ended, silent := 0, 0
	for i, p := range prompts {
		a, err := c.Complete(ctx, remote.Prompt{Text: p.Text, Tokens: p.Tokens}, n)
		if err != nil {
			return err
		}
		if len(a.Tokens) < n {
			ended++
		}
		if len(a.Rows) == 0 {
			silent++
			continue
		}
		d.Items = append(d.Items, &Item{
			File: fmt.Sprintf("case%d", i), Prompt: p.Text, Given: len(p.Tokens), Tokens: slices.Concat(p.Tokens, a.Tokens),
			Tokenized: a.Tokenized, Top: a.Rows, PrefillTS: a.PrefillTS, DecodeTS: a.DecodeTS,
		})
		if s.Progress != nil {
			s.Progress(i+1, len(prompts))
		}
	}
	if len(d.Items) == 0 {
		return &remote.AnswerError{URL: s.Address, Reason: "it ends at once after every prompt", Err: remote.ErrNoLogProbs}
	}
	if d.Notes = c.Notes(); silent > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("the server ends at once after %d of %d prompts, and tells nothing: they are left out", silent, len(prompts)))
	}
	if ended > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("%d of %d answers of the server end before %d tokens; they are compared to their end", ended, len(prompts), n))
	}
	return writeJSON(filepath.Join(dir, IndexName), &d)
}
