package crossval

import (
	"fmt"
	"math"

	"tritflow/cmd/tritflow/internal/tolerance"
)

// Tolerance is how far numbers may be from a reference's. 0 is no limit. Where a
// reference lists only its likeliest tokens, Agreement, Generated, Perplexity and
// Tie hold as ever, Mean and LogProb for the log-probabilities that it lists, and
// KL for what the lists tell of it; Correlation, Max, MSE and Layer have nothing to hold for.
type Tolerance struct {
	Name        string  `json:"-"`
	Agreement   float64 `json:"agreement"`   // least share of positions with the same likeliest token
	Generated   float64 `json:"generated"`   // least share of greedy tokens before the first difference
	Correlation float64 `json:"correlation"` // least, of logits (or log-probabilities)
	Max         float64 `json:"max"`         // most, difference of a logit
	LogProb     float64 `json:"logprob"`     // most, difference of a listed log-probability
	Mean        float64 `json:"mean"`        // most, mean absolute difference
	MSE         float64 `json:"mse"`         // most
	KL          float64 `json:"kl"`          // most, mean, nats
	Perplexity  float64 `json:"perplexity"`  // most, relative difference
	Layer       float64 `json:"layer"`       // most, relative MSE of a tensor
	Tie         float64 `json:"tie"`         // likeliest tokens may differ where the reference's gap is at most this
}

// Standard allows for rounding flips: engines that sum in another order round an
// activation to the next int8 here and there, and all later logits move a little.
func Standard() Tolerance {
	return Tolerance{
		Name: "default", Agreement: 0.95, Correlation: 0.999, Mean: 0.15, KL: 0.01, LogProb: 1.5, Perplexity: 0.02, Layer: 1e-3,
	}
}

// Strict is for float32 against float32.
func Strict() Tolerance {
	return Tolerance{
		Name: "strict", Agreement: 1, Generated: 1, Correlation: 0.99999, Mean: 0.01, KL: 1e-4, LogProb: 0.05, Perplexity: 1e-3, Layer: 1e-6, Tie: 1e-3,
	}
}

// ToleranceNamed is "default", "strict", or a JSON file that begins with what
// "default" says.
func ToleranceNamed(name string) (Tolerance, error) {
	return tolerance.Named(name, Standard(), Strict(), func(data []byte, t *Tolerance) error {
		t.Name = name
		return tolerance.Decode(data, t)
	})
}

// DivergenceError is a figure beyond its limit.
type DivergenceError struct {
	Where     string  `json:"where"` // "all cases", a case, or a layer
	Metric    string  `json:"metric"`
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
	Detail    string  `json:"detail,omitempty"`
}

func (e *DivergenceError) Error() string {
	s := fmt.Sprintf("crossval: %s: %s is %.6g, the limit is %.6g", e.Where, e.Metric, e.Value, e.Threshold)
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// judge finds what is beyond its limits. The first layer that diverges comes
// first: what follows it is its consequence.
func (t *Tolerance) judge(r *Report) []*DivergenceError {
	found := []*DivergenceError{}
	least := func(where, metric string, value, limit float64, detail string) {
		if limit > 0 && !(value >= limit) {
			found = append(found, &DivergenceError{where, metric, value, limit, detail})
		}
	}
	most := func(where, metric string, value, limit float64, detail string) {
		if limit > 0 && !(value <= limit) {
			found = append(found, &DivergenceError{where, metric, value, limit, detail})
		}
	}
	finite := func(lost int) {
		if lost > 0 {
			found = append(found, &DivergenceError{"all cases", "logits that are not finite", float64(lost), 0, ""})
		}
	}
	if l := r.First; l != nil {
		found = append(found, &DivergenceError{
			l.Stage + ", " + l.Point, "relative MSE", l.Figures.RelativeMSE, t.Layer,
			fmt.Sprintf("the first layer that diverges; correlation %.6f, worst at position %d, element %d", l.Figures.Correlation, l.Figures.Worst.Row, l.Figures.Worst.Column),
		})
	}
	const all = "all cases"
	for _, c := range r.Cases {
		if c.Tokenized != nil {
			found = append(found, &DivergenceError{c.Name, "prompts that are tokenized differently", 1, 0,
				fmt.Sprintf("%v, the reference %v", c.Tokens[:c.Given], c.Tokenized)})
		}
	}
	found = append(found, r.oddities()...)
	agreement := 1.0
	if equal, rows := r.rows(); rows > 0 {
		agreement = float64(equal+r.ties(t.Tie)) / float64(rows)
	}
	least(all, "share of equal likeliest tokens", agreement, t.Agreement, r.firstDivergence())
	if r.Tokens.Tokens > 0 {
		least(all, "share of equal greedy tokens", float64(r.Tokens.Equal)/float64(r.Tokens.Tokens), t.Generated, r.firstDivergence())
	}
	if f := r.Logits; f != nil {
		finite(f.NonFinite)
		if f.Values > 0 {
			least(all, "correlation", f.Correlation, t.Correlation, "")
		}
		most(all, "largest difference", f.Max, t.Max, "")
		most(all, "mean difference", f.Mean, t.Mean, "")
		most(all, "MSE", f.MSE, t.MSE, "")
		most(all, "Kullback-Leibler divergence", f.KL, t.KL, "")
	}
	if f := r.Listed; f != nil {
		finite(f.NonFinite)
		most(all, "largest difference of a listed log-probability", f.Max, t.LogProb, r.worstListed())
		most(all, "mean difference of listed log-probabilities", f.Mean, t.Mean, r.worstListed())
		most(all, "Kullback-Leibler divergence over listed tokens and the remainder", f.KL, t.KL, r.worstListed())
	}
	if r.Text != nil {
		most(all, "relative difference of perplexity", math.Abs(r.Text.Relative), t.Perplexity, "")
	}
	return found
}

// ties counts the cases whose only divergence lies within a gap that rounding
// decides. (Later rows of a case are compared with the same tokens before them,
// so one tie does not cause the next.)
func (r *Report) ties(gap float64) int {
	n := 0
	for _, c := range r.Cases {
		for _, d := range c.ties {
			if d <= gap {
				n++
			}
		}
	}
	return n
}

func (r *Report) firstDivergence() string {
	d := r.first()
	if d == nil {
		return ""
	}
	lead := "in the reference's logits"
	if r.Logits == nil {
		lead = "in the reference's list"
	}
	if d.AtLeast {
		lead += ", and more, as ours is not in it"
	}
	return fmt.Sprintf("first in %s at position %d: token %d instead of %d, which leads by %.4g %s", r.Cases[d.Case].Name, d.Position, d.Token, d.Reference, d.Gap, lead)
}
