package crossval

import (
	"context"
	"fmt"

	"tritflow/cmd/tritflow/internal/compare"
	"tritflow/cmd/tritflow/internal/crossval/remote"
)

// unknown is what a report says of a reference without logits.
const unknown = "the reference lists only its likeliest tokens: correlation, MSE, differences of all logits, the whole Kullback-Leibler divergence and layers " +
	"are not known, and their limits do not hold"

// top compares the positions that the reference tells of.
func (c *comparison) top(ctx context.Context, index int, it *Item, entry *Case) error {
	var own compare.Listed
	pos, at := 0, 0
	for got, err := range c.opt.Engine.Logits(ctx, it.Tokens, false) {
		if err != nil {
			return fmt.Errorf("crossval: %s: %w", it.File, err)
		}
		if at < len(it.Top) && it.Top[at].Position == pos {
			if err := c.list(index, it, entry, &it.Top[at], got, &own); err != nil {
				return err
			}
			at++
		}
		pos++
	}
	f := own.Figures()
	entry.Listed = &f
	c.place(&f)
	return nil
}

// list compares one position.
func (c *comparison) list(index int, it *Item, entry *Case, row *remote.Row, got []float32, own *compare.Listed) error {
	for _, id := range row.IDs {
		if id < 0 || int(id) >= len(got) {
			return &DumpError{it.File, fmt.Sprintf("position %d has token %d, the model has %d: it is of another model", row.Position, id, len(got)), nil}
		}
	}
	r := own.Add(index, row.Position, got, row.IDs, row.LogProbs, remote.Impossible)
	c.listed.Add(index, row.Position, got, row.IDs, row.LogProbs, remote.Impossible)
	entry.Positions, entry.KL = append(entry.Positions, row.Position), append(entry.KL, r.KL)
	if !r.Same {
		entry.ties = append(entry.ties, r.Gap)
	}
	entry.pickListed(row, got)
	if row.Position+1 == len(it.Tokens) {
		return nil
	}
	next := it.Tokens[row.Position+1]
	for i, id := range row.IDs {
		if id == next && row.LogProbs[i] > remote.Impossible {
			c.ours += compare.LogProb(got, next)
			c.theirs += row.LogProbs[i]
			c.predicted++
		}
	}
	if row.Position+1 >= it.Given {
		if best, short := row.Short(next); short > drawn {
			entry.odd = append(entry.odd, &oddity{row.Position, next, best, short})
		}
	}
	return nil
}

// drawn is how much a greedy token may fall short of the likeliest: what float32
// numbers lose when they are written as text.
const drawn = 1e-5

// pickListed keeps a row for the plot: log-probabilities.
func (e *Case) pickListed(row *remote.Row, got []float32) {
	const most = 2000
	if len(e.sample) >= most {
		return
	}
	sum := compare.LogSum(got)
	for i, id := range row.IDs {
		if row.LogProbs[i] > remote.Impossible {
			e.sample = append(e.sample, [2]float32{float32(row.LogProbs[i]), float32(float64(got[id]) - sum)})
		}
	}
}

// place adds texts to what was found.
func (c *comparison) place(f *compare.ListedFigures) {
	c.words(f.First)
	if c.opt.Text != nil && f.Values > 0 {
		f.Worst.TokenText = c.opt.Text(f.Worst.Token)
	}
}

// worstListed says where a listed log-probability differs most.
func (r *Report) worstListed() string {
	w := r.Listed.Worst
	return fmt.Sprintf("most in %s at position %d: token %d %q has log-probability %.4f, the reference says %.4f",
		r.Cases[w.Case].Name, w.Position, w.Token, w.TokenText, w.Got, w.Reference)
}

// oddities are references that do not decode greedily, so that their answers
// cannot be compared.
func (r *Report) oddities() (found []*DivergenceError) {
	for _, c := range r.Cases {
		if len(c.odd) > 0 {
			o := c.odd[0]
			found = append(found, &DivergenceError{
				c.Name, "tokens of the reference that are not the likeliest of its own list", float64(len(c.odd)), 0,
				fmt.Sprintf("the first after position %d: it continues with token %d, its list has %d first: it does not decode greedily, or its list is wrong", o.position, o.token, o.best),
			})
		}
	}
	return found
}
