package suites

import (
	"context"
	"fmt"
	"time"
)

// Suite is one side from which a model is looked at.
type Suite interface {
	Name() string
	// Run gives what was found. An error means that it could not look.
	Run(ctx context.Context) ([]Check, error)
}

// Check is a line of the table.
type Check struct {
	Suite   string `json:"suite"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Limit   string `json:"limit,omitempty"`
	Pass    bool   `json:"pass"`
	Skipped string `json:"skipped,omitempty"` // why it says nothing; neither passed nor failed
}

// Report is everything that was found.
type Report struct {
	Model   string   `json:"model"`
	Pass    bool     `json:"pass"`
	Seconds float64  `json:"seconds"`
	Checks  []Check  `json:"checks"`
	Timings []Timing `json:"timings"`
}

// Timing is how long a suite took.
type Timing struct {
	Suite   string  `json:"suite"`
	Seconds float64 `json:"seconds"`
}

// Run runs suites one after the other, because they measure speed and memory. The
// error is ctx's cause. step (may be nil) hears of each that has ended.
func Run(ctx context.Context, model string, all []Suite, step func(done, total int)) (*Report, error) {
	r := &Report{Model: model, Pass: true, Checks: []Check{}}
	began := time.Now()
	for i, s := range all {
		start := time.Now()
		checks, err := s.Run(ctx)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			checks = append(checks, Check{Name: "could not look", Value: err.Error()})
		}
		for _, c := range checks {
			c.Suite = s.Name()
			r.Pass = r.Pass && (c.Pass || c.Skipped != "")
			r.Checks = append(r.Checks, c)
		}
		r.Timings = append(r.Timings, Timing{s.Name(), time.Since(start).Seconds()})
		if step != nil {
			step(i+1, len(all))
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r, nil
}

// suite makes a Suite of a function.
type suite struct {
	name string
	run  func(context.Context) ([]Check, error)
}

func (s suite) Name() string { return s.name }

func (s suite) Run(ctx context.Context) ([]Check, error) { return s.run(ctx) }

func skipped(name, why string) Check { return Check{Name: name, Skipped: why} }

// least and most make checks of a figure with one bound.
func least(name string, value, bound float64) Check {
	return Check{Name: name, Value: fmt.Sprintf("%.6g", value), Limit: fmt.Sprintf("at least %.6g", bound), Pass: value >= bound}
}

func most(name string, value, bound float64) Check {
	return Check{Name: name, Value: fmt.Sprintf("%.3g", value), Limit: fmt.Sprintf("at most %.3g", bound), Pass: value <= bound}
}
