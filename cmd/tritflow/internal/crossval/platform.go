package crossval

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"tritflow/cmd/tritflow/internal/compare"
)

// Baseline is what a machine computed, to be compared with another's.
type Baseline struct {
	Version string          `json:"version"`
	Machine Machine         `json:"machine"`
	Model   string          `json:"model"` // SHA-256 of its file
	KV      string          `json:"kv"`
	Prefill float64         `json:"prefill_tok_s"` // with all logits
	Decode  float64         `json:"decode_tok_s"`
	Cases   []*BaselineCase `json:"cases"`
}

// Machine is where it ran.
type Machine struct {
	OS      string   `json:"os"`
	Arch    string   `json:"arch"`
	Kinds   []string `json:"kinds"`   // of the devices: "cpu", "cuda"
	Devices []string `json:"devices"` // model and kernels
}

// BaselineCase is one prompt.
type BaselineCase struct {
	Prompt string    `json:"prompt,omitempty"`
	Tokens []int32   `json:"tokens"`
	Answer []int32   `json:"answer"` // greedy
	SHA256 string    `json:"sha256"` // of all logits of the prompt
	TopIDs []int32   `json:"top_ids"`
	Top    []float32 `json:"top_logits"` // of the last position
}

// Measure fills a baseline's cases and speeds.
func (b *Baseline) Measure(ctx context.Context, e Engine, prompts []Prompt, n int) error {
	if err := checkPrompts(prompts); err != nil {
		return err
	}
	var decode rate
	for _, p := range prompts {
		s, err := digest(ctx, e, p.Tokens, false)
		if err != nil {
			return err
		}
		answer, speed, err := greedy(ctx, e, p.Tokens, n)
		if err != nil {
			return err
		}
		decode.add(speed.tokens, speed.seconds)
		b.Cases = append(b.Cases, &BaselineCase{p.Text, p.Tokens, answer, s.SHA256, s.IDs, s.Logits})
	}
	b.Decode = decode.perSecond()
	var d Dump
	for _, p := range prompts {
		d.Items = append(d.Items, &Item{Tokens: p.Tokens, Given: len(p.Tokens)})
	}
	c := comparison{dump: &d, opt: &Options{Engine: e}}
	if err := c.measure(ctx); err != nil {
		return err
	}
	b.Prefill = c.prefill.perSecond()
	return nil
}

// ReadBaseline reads a baseline's file.
func ReadBaseline(path string) (*Baseline, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b := &Baseline{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(b); err != nil {
		return nil, &DumpError{path, "is no baseline", err}
	}
	for _, c := range b.Cases {
		if c == nil || len(c.TopIDs) != len(c.Top) || len(c.Tokens) == 0 {
			return nil, &DumpError{path, "is no baseline: a case contradicts itself", nil}
		}
	}
	return b, nil
}

// Prompts are those of the cases.
func (b *Baseline) Prompts() []Prompt {
	var all []Prompt
	for _, c := range b.Cases {
		all = append(all, Prompt{c.Prompt, c.Tokens})
	}
	return all
}

// Length is how many greedy tokens were asked for after each prompt.
func (b *Baseline) Length() int {
	n := 0
	for _, c := range b.Cases {
		n = max(n, len(c.Answer))
	}
	return n
}

// Fits refuses a baseline that says nothing about a model, or a type of keys and values.
func (b *Baseline) Fits(model, kv string) error {
	switch {
	case b.Model != model:
		return otherBaseline("model", b.Model, model)
	case b.KV != kv:
		return otherBaseline("type of keys and values", b.KV, kv)
	}
	return nil
}

func otherBaseline(what, its, this string) error {
	return &DumpError{"baseline", fmt.Sprintf("is of another %s: %s, this one is %s", what, its, this), nil}
}

// PlatformReport compares two machines; as JSON the object that `tritflow
// crossval --platform FILE --json` prints.
type PlatformReport struct {
	Baseline  *Baseline          `json:"baseline"`
	Now       *Baseline          `json:"now"`
	Bits      int                `json:"same_bits"`    // cases with the same logits to the bit
	Answers   int                `json:"same_answers"` // cases with the same greedy tokens
	MustMatch bool               `json:"must_match"`   // both are CPUs: every bit must be the same
	Figures   compare.Figures    `json:"figures"`      // of the largest logits of last positions
	Pass      bool               `json:"pass"`
	Problems  []*DivergenceError `json:"problems"`
}

// ComparePlatforms compares with a baseline. CPUs must have the same bits,
// other devices largest logits within the tolerance.
func ComparePlatforms(was, now *Baseline, tol Tolerance) (*PlatformReport, error) {
	if err := was.Fits(now.Model, now.KV); err != nil {
		return nil, err
	}
	if len(was.Cases) != len(now.Cases) {
		return nil, otherBaseline("number of prompts", fmt.Sprint(len(was.Cases)), fmt.Sprint(len(now.Cases)))
	}
	r := &PlatformReport{Baseline: was, Now: now, Problems: []*DivergenceError{}, MustMatch: onlyCPU(was) && onlyCPU(now)}
	var v compare.Values
	for i, a := range was.Cases {
		b := now.Cases[i]
		if !slices.Equal(a.Tokens, b.Tokens) {
			return nil, otherBaseline("prompt", fmt.Sprint(a.Tokens), fmt.Sprint(b.Tokens))
		}
		if a.SHA256 == b.SHA256 {
			r.Bits++
		}
		if slices.Equal(a.Answer, b.Answer) {
			r.Answers++
		}
		for j, id := range a.TopIDs {
			if k := slices.Index(b.TopIDs, id); k >= 0 {
				v.Add(i, b.Top[k:k+1], a.Top[j:j+1])
			}
		}
	}
	r.Figures = v.Figures()
	n := float64(len(was.Cases))
	if r.MustMatch && r.Bits < len(was.Cases) {
		r.Problems = append(r.Problems, &DivergenceError{"all cases", "share with the same bits", float64(r.Bits) / n, 1, "CPUs must give the same bits"})
	}
	if tol.Generated > 0 && float64(r.Answers) < tol.Generated*n {
		r.Problems = append(r.Problems, &DivergenceError{"all cases", "share of equal greedy answers", float64(r.Answers) / n, tol.Generated, ""})
	}
	if tol.Mean > 0 && !(r.Figures.Mean <= tol.Mean) {
		r.Problems = append(r.Problems, &DivergenceError{"all cases", "mean difference of the largest logits", r.Figures.Mean, tol.Mean, ""})
	}
	r.Pass = len(r.Problems) == 0
	return r, nil
}

func onlyCPU(b *Baseline) bool {
	return !slices.ContainsFunc(b.Machine.Kinds, func(k string) bool { return k != "cpu" })
}

// WriteText prints both machines side by side.
func (r *PlatformReport) WriteText(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(what string, of func(*Baseline) string) {
		fmt.Fprintf(t, "%s\t%s\t%s\n", what, of(r.Baseline), of(r.Now))
	}
	row("", func(x *Baseline) string { return map[bool]string{true: "baseline", false: "now"}[x == r.Baseline] })
	row("machine", func(x *Baseline) string { return x.Machine.OS + "/" + x.Machine.Arch })
	row("devices", func(x *Baseline) string { return strings.Join(x.Machine.Devices, ", ") })
	row("version", func(x *Baseline) string { return x.Version })
	row("prefill tok/s", func(x *Baseline) string { return speed(x.Prefill) })
	row("decode tok/s", func(x *Baseline) string { return speed(x.Decode) })
	_ = t.Flush() // to a strings.Builder, which takes everything
	n := len(r.Baseline.Cases)
	fmt.Fprintf(&b, "\nlogits     the same bits in %d of %d prompts; largest logits %.3g apart on average, at most %.3g\nanswers    the same greedy tokens in %d of %d\n",
		r.Bits, n, r.Figures.Mean, r.Figures.Max, r.Answers, n)
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "FAIL %s\n", p)
	}
	if r.Pass {
		b.WriteString("pass\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
