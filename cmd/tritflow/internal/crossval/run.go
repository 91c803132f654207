package crossval

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"tritflow/cmd/tritflow/internal/compare"
	"tritflow/cmd/tritflow/internal/walk"
	"tritflow/graph"
	"tritflow/stages"
)

// Engine is what is compared; *stages.Engine is one.
type Engine interface {
	Logits(ctx context.Context, tokens []int32, step bool) iter.Seq2[[]float32, error]
	Submit(ctx context.Context, r stages.Request) (*stages.Stream, error)
	Model() *graph.Model
	Ctx() int
}

// Options of Run.
type Options struct {
	Engine    Engine
	Model     string // what the report calls it
	Ours      string // configuration, for the report
	KV        string // the engine's type of keys and values, for the walk
	Tolerance Tolerance
	Text      func(id int32) string // a token as text; may be nil
	Progress  func(done, total int) // cases; may be nil
}

// Run compares with a dump. What diverges is in the report; an error is a
// failure to compare.
func Run(ctx context.Context, d *Dump, opt Options) (*Report, error) {
	r := &Report{
		Model: opt.Model, Ours: opt.Ours, Reference: d.Engine, Tolerance: opt.Tolerance.Name,
		Cases: []*Case{}, Layers: []*Layer{}, Notes: []string{},
	}
	c := &comparison{dump: d, opt: &opt, report: r}
	for i, it := range d.Items {
		if err := c.item(ctx, i, it); err != nil {
			return nil, err
		}
		if opt.Progress != nil {
			opt.Progress(i+1, len(d.Items))
		}
	}
	if err := c.measure(ctx); err != nil {
		return nil, err
	}
	c.finish()
	return r, nil
}

// measureFor is about how long the engine's own speed is measured.
const measureFor = time.Second

// measure times prompts with all logits and no work beside it.
func (c *comparison) measure(ctx context.Context) error {
	for began, i := time.Now(), 0; i < len(c.dump.Items) && time.Since(began) < measureFor; i++ {
		ids := c.dump.Items[i].Tokens[:c.dump.Items[i].Given]
		start := time.Now()
		for _, err := range c.opt.Engine.Logits(ctx, ids, false) {
			if err != nil {
				return fmt.Errorf("crossval: %s: %w", c.dump.Items[i].File, err)
			}
		}
		c.prefill.add(len(ids), time.Since(start).Seconds())
	}
	return nil
}

// comparison adds up over the cases.
type comparison struct {
	dump   *Dump
	opt    *Options
	report *Report

	total             compare.Logits
	listed            compare.Listed
	ours, theirs      float64 // log-probabilities
	predicted         int
	prefill, decode   rate
	prefill2, decode2 rate // the reference's
}

// rate is tokens and the time they took.
type rate struct {
	tokens  int
	seconds float64
}

func (r *rate) add(tokens int, seconds float64) {
	if tokens > 0 && seconds > 0 {
		r.tokens, r.seconds = r.tokens+tokens, r.seconds+seconds
	}
}

func (r *rate) perSecond() float64 {
	if r.seconds == 0 {
		return 0
	}
	return float64(r.tokens) / r.seconds
}

func (c *comparison) item(ctx context.Context, index int, it *Item) error {
	m := c.opt.Engine.Model()
	if it.Top == nil && it.Shape[1] != m.Vocab {
		return &DumpError{it.File, fmt.Sprintf("has logits of %d tokens, the model has %d: it is of another model", it.Shape[1], m.Vocab), nil}
	}
	entry := &Case{Name: it.File, Prompt: it.Prompt, Tokens: it.Tokens, Given: it.Given, KL: []float64{}, Answer: []int32{}}
	c.report.Cases = append(c.report.Cases, entry)
	if it.Tokenized != nil && !slices.Equal(it.Tokenized, it.Tokens[:it.Given]) {
		entry.Tokenized = it.Tokenized
	}
	compareRows := c.logits
	if it.Top != nil {
		compareRows = c.top
	}
	if err := compareRows(ctx, index, it, entry); err != nil {
		return err
	}
	c.prefill2.add(it.Given, seconds(it.Given, it.PrefillTS))
	c.decode2.add(len(it.Tokens)-it.Given, seconds(len(it.Tokens)-it.Given, it.DecodeTS))
	if err := c.answer(ctx, it, entry); err != nil {
		return err
	}
	if it.Tensors != "" && len(c.report.Layers) == 0 {
		entry.Tensors = true
		return c.layers(ctx, it)
	}
	return nil
}

// logits compares every position, with the reference's tokens before it.
func (c *comparison) logits(ctx context.Context, index int, it *Item, entry *Case) (err error) {
	file, err := c.dump.open(it)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := file.close(); err == nil {
			err = cerr
		}
	}()
	var own compare.Logits
	pos := 0
	for got, err := range c.opt.Engine.Logits(ctx, it.Tokens, false) {
		if err != nil {
			return fmt.Errorf("crossval: %s: %w", it.File, err)
		}
		want, err := file.next()
		if err != nil {
			return err
		}
		kl, same := own.Add(index, pos, got, want)
		c.total.Add(index, pos, got, want)
		entry.KL = append(entry.KL, kl)
		if !same {
			entry.ties = append(entry.ties, float64(want[compare.Best(want)])-float64(want[compare.Best(got)]))
		}
		if pos+1 < len(it.Tokens) {
			next := it.Tokens[pos+1]
			c.ours += compare.LogProb(got, next)
			c.theirs += compare.LogProb(want, next)
			c.predicted++
		}
		entry.pick(got, want)
		pos++
	}
	f := own.Figures()
	entry.Logits = &f
	c.words(f.First)
	return nil
}

// seconds that n tokens took at a speed.
func seconds(n int, speed float64) float64 {
	if speed <= 0 {
		return 0
	}
	return float64(n) / speed
}

// pick keeps a few values of a row for the plot.
func (e *Case) pick(got, want []float32) {
	const most, each = 2000, 40
	if len(e.sample) >= most {
		return
	}
	for i := range each {
		j := i * len(got) / each
		e.sample = append(e.sample, [2]float32{want[j], got[j]})
	}
}

// words adds texts to a divergence.
func (c *comparison) words(d *compare.Divergence) {
	if d != nil && c.opt.Text != nil {
		d.TokenText, d.ReferenceText = c.opt.Text(d.Token), c.opt.Text(d.Reference)
	}
}

// answer generates as the reference did and compares tokens.
func (c *comparison) answer(ctx context.Context, it *Item, entry *Case) error {
	want := it.Tokens[it.Given:]
	if len(want) == 0 {
		return nil
	}
	s, err := c.opt.Engine.Submit(ctx, stages.Request{Tokens: it.Tokens[:it.Given], MaxTokens: len(want), IgnoreEOS: true})
	if err != nil {
		return fmt.Errorf("crossval: %s: %w", it.File, err)
	}
	for t, err := range s.Tokens() {
		if err != nil {
			return fmt.Errorf("crossval: %s: %w", it.File, err)
		}
		entry.Answer = append(entry.Answer, t.ID)
	}
	for entry.Equal < min(len(want), len(entry.Answer)) && entry.Answer[entry.Equal] == want[entry.Equal] {
		entry.Equal++
	}
	c.report.Tokens.Tokens += len(want)
	c.report.Tokens.Equal += entry.Equal
	result := s.Result()
	c.decode.add(len(entry.Answer)-1, result.Decode.Seconds())
	return nil
}

// layers walks the network and compares every tensor that the reference has.
func (c *comparison) layers(ctx context.Context, it *Item) error {
	have, err := c.dump.tensors(it)
	if err != nil {
		return err
	}
	_, err = walk.Run(ctx, c.opt.Engine.Model(), it.Tokens[:it.Given], walk.Options{KV: c.opt.KV, Absent: true, Visit: func(p walk.Point, got []float32, width int) error {
		t := have[p.String()]
		if t == nil || p.Name == walk.Logits {
			return nil
		}
		want, err := c.dump.values(it, t, len(got))
		if err != nil {
			return err
		}
		var v compare.Values
		for row := 0; row*width < len(got); row++ {
			v.Add(row, got[row*width:(row+1)*width], want[row*width:(row+1)*width])
		}
		l := &Layer{Point: p.String(), Stage: p.Stage(), Figures: v.Figures(), Pass: true}
		limit := c.opt.Tolerance.Layer
		if l.Figures.NonFinite > 0 || limit > 0 && !(l.Figures.RelativeMSE <= limit) {
			l.Pass = false
			if c.report.First == nil {
				c.report.First = l
			}
		}
		c.report.Layers = append(c.report.Layers, l)
		return nil
	}})
	if err != nil {
		return fmt.Errorf("crossval: %s: %w", it.File, err)
	}
	return nil
}

func (c *comparison) finish() {
	r := c.report
	if f := c.total.Figures(); f.Rows > 0 {
		r.Logits = &f
		c.words(f.First)
	}
	if f := c.listed.Figures(); f.Rows > 0 {
		r.Listed = &f
		c.place(&f)
	}
	r.Notes = append(r.Notes, c.dump.Notes...)
	if r.Logits == nil {
		r.Notes = append(r.Notes, unknown)
	}
	if n := float64(c.predicted); n > 0 {
		r.Text = &Text{Tokens: c.predicted, Perplexity: math.Exp(-c.ours / n), Reference: math.Exp(-c.theirs / n)}
		r.Text.Relative = math.Exp((c.theirs-c.ours)/n) - 1
		for _, v := range []*float64{&r.Text.Perplexity, &r.Text.Reference, &r.Text.Relative} {
			if *v-*v != 0 {
				*v = math.MaxFloat64 // JSON has no infinity
			}
		}
	}
	r.Speed = Speed{c.prefill.perSecond(), c.decode.perSecond(), c.prefill2.perSecond(), c.decode2.perSecond()}
	r.Problems = c.opt.Tolerance.judge(r)
	r.Pass = len(r.Problems) == 0
}
