package suites

import (
	"context"
	"fmt"
	"strings"

	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/stages"
)

// prompts of the comparisons.
var prompts = []string{
	"Once upon a time", "What is 27 + 15?", "The capital of France is", "One day, a girl named Lily found a red ball in the park.",
}

const comparedTokens = 32

// cpu says whether the devices are processors alone, whose bits depend on nothing.
func (m *model) cpu() bool { return !strings.Contains(m.Engine.Devices, "cuda") }

// reference answers the prompts one after the other with one thread and nothing that
// makes it fast, and keeps them as a receipt.
func (m *model) reference(ctx context.Context) (*receipt.Receipt, error) {
	if m.answers != nil {
		return m.answers, nil
	}
	r := receipt.New("", m.Path, m.hashes)
	r.Run = &receipt.Run{Special: true, Options: receipt.Options{MaxTokens: comparedTokens}}
	err := m.withEngine(ctx, plain, func(e *stages.Engine) error {
		r.On(e)
		for _, p := range prompts {
			q, err := r.Run.Request(p, e.Vocab())
			if err != nil {
				return err
			}
			a, err := receipt.Answered(ctx, e, q)
			if err != nil {
				return err
			}
			r.Run.Answers = append(r.Run.Answers, *a)
		}
		return nil
	})
	if err == nil {
		m.answers = r
	}
	return r, err
}

func plain(o *stages.Options) {
	o.Devices, o.Split, o.Screen, o.NoPrefixCache, o.Chunk = "cpu:1", nil, "off", true, 1
}

// crossval compares with other engines and with other ways of this one.
func (m *model) crossval(ctx context.Context) ([]Check, error) {
	checks, err := m.dumps(ctx)
	if err != nil {
		return checks, err
	}
	others, err := m.configurations(ctx)
	return append(checks, others...), err
}

// configurations compares other ways to compute the same with the reference.
func (m *model) configurations(ctx context.Context) ([]Check, error) {
	if _, err := m.print(ctx); err != nil {
		return nil, err
	}
	r, err := m.reference(ctx)
	if err != nil {
		return nil, err
	}
	var checks []Check
	for _, c := range []struct {
		name   string
		change func(*stages.Options)
	}{
		{"as asked, all prompts at once", nil},
		{"two threads", func(o *stages.Options) { o.Devices, o.Split = "cpu:2", nil }},
		{"two devices, two steps in flight", func(o *stages.Options) { o.Devices, o.Split, o.Chunk = "cpu:1,cpu:1", nil, 5 }},
		{"two replicas", func(o *stages.Options) { o.Devices, o.Split, o.Replicas = "cpu:1,cpu:1", nil, 2 }},
		{"prompts cut to threes, no prefix cache", func(o *stages.Options) { o.Devices, o.Split, o.Chunk, o.NoPrefixCache = "cpu:1", nil, 3, true }},
	} {
		if c.change == nil && !m.cpu() {
			checks = append(checks, skipped(c.name, "GPUs have other bits; their answers are compared with themselves"))
			continue
		}
		check, err := m.same(ctx, c.name, r, c.change)
		if err != nil {
			return checks, fmt.Errorf("%s: %w", c.name, err)
		}
		checks = append(checks, check)
	}
	return checks, nil
}

// same computes a receipt in another way.
func (m *model) same(ctx context.Context, name string, r *receipt.Receipt, change func(*stages.Options)) (c Check, err error) {
	c = Check{Name: name, Limit: "the same bits"}
	err = m.withEngine(ctx, change, func(e *stages.Engine) error {
		d, err := receipt.Check(ctx, e, r)
		if c.Pass = err == nil && d == nil; d != nil {
			c.Value = d.String()
		}
		return err
	})
	if c.Pass {
		draws := 0
		for i := range r.Run.Answers {
			draws += len(r.Run.Answers[i].Drawn)
		}
		c.Value = fmt.Sprintf("%d answers, %d tokens and their logits", len(r.Run.Answers), draws)
	}
	return c, err
}
