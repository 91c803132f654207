package evaluation

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"tritflow/gguf/builtin"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

// underWay is how many requests wait for answers at once: enough to keep every
// place of an engine taken.
const underWay = 128

// Options of Run.
type Options struct {
	Card     *builtin.Card             // what the answers are measured by beside the targets; may be nil
	Most     int                       // questions of a group, spread evenly over it; 0 = all
	Progress func(done, total int)     // may be nil; never called by two goroutines at once
	Groups   func(*builtin.Group) bool // which groups; nil = all
}

// Run puts the questions to an engine, greedily. Errors are those of requests and templates.
func Run(ctx context.Context, e *stages.Engine, set *builtin.Questions, opt Options) (*Report, error) {
	template, err := e.Vocab().Template()
	if err != nil {
		return nil, err
	}
	r := &Report{Pass: true}
	var jobs []*job
	for i := range set.Groups {
		g := &set.Groups[i]
		if opt.Groups != nil && !opt.Groups(g) {
			continue
		}
		items := g.Items
		if opt.Most > 0 {
			items = spread(items, opt.Most)
		}
		row := newRow(g, len(items))
		r.Rows = append(r.Rows, row)
		for j := range items {
			jobs = append(jobs, &job{group: g, item: &items[j], row: row})
		}
	}
	if err := askAll(ctx, e, template, jobs, opt.Progress); err != nil {
		return nil, err
	}
	for _, j := range jobs {
		j.row.count(j.item, j.text, j.finish)
	}
	for _, row := range r.Rows {
		if row.judge(opt.Card); !row.Pass {
			r.Pass = false
		}
	}
	return r, nil
}

// spread takes n items at equal distances.
func spread(items []builtin.Question, n int) []builtin.Question {
	if n >= len(items) {
		return items
	}
	out := make([]builtin.Question, n)
	for i := range out {
		out[i] = items[i*len(items)/n]
	}
	return out
}

// job is a question under way.
type job struct {
	group  *builtin.Group
	item   *builtin.Question
	row    *Row
	text   string
	finish stages.Finish
}

func askAll(ctx context.Context, e *stages.Engine, t *vocab.Template, jobs []*job, progress func(done, total int)) error {
	var mu sync.Mutex
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(underWay)
	for _, j := range jobs {
		g.Go(func() error {
			if err := j.ask(ctx, e, t); err != nil {
				return fmt.Errorf("evaluation: %s: %q: %w", j.group.Name, j.item.Messages[len(j.item.Messages)-1], err)
			}
			mu.Lock()
			defer mu.Unlock()
			if done++; progress != nil {
				progress(done, len(jobs))
			}
			return nil
		})
	}
	return g.Wait()
}

func (j *job) ask(ctx context.Context, e *stages.Engine, t *vocab.Template) error {
	q := stages.Request{MaxTokens: j.group.Tokens}
	if j.group.Kind == builtin.KindPlain {
		q.Prompt, q.NoSpecial = j.item.Messages[0], true
	} else {
		var messages []vocab.Message
		for i, m := range j.item.Messages {
			messages = append(messages, vocab.Message{Role: []string{"user", "assistant"}[i%2], Content: m})
		}
		var err error
		if q.Segments, err = t.Render(messages, true); err != nil {
			return err
		}
	}
	s, err := e.Submit(ctx, q)
	if err != nil {
		return err
	}
	var b strings.Builder
	for tok, err := range s.Tokens() {
		if err != nil {
			return err
		}
		b.WriteString(tok.Text)
	}
	j.text, j.finish = b.String(), s.Result().Finish
	return nil
}
