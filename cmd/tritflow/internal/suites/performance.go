package suites

import (
	"context"
	"fmt"
	"math"
	"time"

	"tritflow/bench"
	"tritflow/cmd/tritflow/internal/targets"
)

// How long speeds are measured.
const (
	speedTime = 20 * time.Second
	quickTime = 2 * time.Second
)

// performance measures speeds and judges all figures by the targets.
func (m *model) performance(ctx context.Context) ([]Check, error) {
	o := bench.Options{Model: m.Path, Engine: m.Engine, Time: speedTime}
	if m.Quick {
		o.Time = quickTime
	}
	report, err := bench.Run(ctx, o)
	if err != nil {
		return nil, err
	}
	Speeds(m.figures.Values, report)
	var checks []Check
	for _, name := range m.Targets {
		set, err := targets.Read(name)
		if err != nil {
			return checks, err
		}
		verdicts, _ := set.Judge(m.figures)
		for _, v := range verdicts {
			checks = append(checks, checkOf(set.Name, v))
		}
	}
	return checks, nil
}

func checkOf(set string, v targets.Verdict) Check {
	c := Check{Name: set + ": " + v.Metric, Limit: v.Target, Pass: v.Pass, Skipped: v.Skipped}
	if v.Value != nil {
		c.Value = fmt.Sprintf("%.6g", *v.Value)
	}
	return c
}

// Speeds takes over the figures of a report by the names that targets have.
func Speeds(values map[string]float64, r *bench.Report) {
	kind := "cpu."
	if r.GPU {
		kind = "gpu."
		values["gpu_memory_bytes"] = float64(r.GPUBytes)
	}
	values["load_ms"] = r.LoadMS
	if r.PeakRSS > 0 {
		values["peak_rss_bytes"] = float64(r.PeakRSS)
	}
	threads := 0
	for _, x := range r.Results {
		threads = max(threads, x.Threads)
	}
	for _, x := range r.Results {
		name := metric(kind, x.Name, x.N, x.Context)
		if x.Threads != threads || name == "" {
			continue
		}
		values[name+"_tok_s"] = x.TokS.Median
		if f := float64(x.Fraction); !math.IsNaN(f) {
			values[name+"_fraction"] = f
		}
	}
	if r.Against != nil {
		for _, s := range r.Against.Speedups {
			if name := metric("speedup.", s.Name, s.N, s.Context); name != "" {
				values[name] = s.Times
			}
		}
	}
}

// metric names a kind of work as targets do; "" for what they leave out, decode after a
// long context.
func metric(kind, name string, n, context int) string {
	switch {
	case name != "decode":
		return fmt.Sprintf("%s%s_%d", kind, name, n)
	case context > 0:
		return ""
	}
	return kind + name
}

// Figures gives everything that targets bound but the memory of many requests: a report's
// speeds and sizes, the numbers of the network, and right answers where there are
// questions.
func Figures(ctx context.Context, o Options, r *bench.Report) (targets.Figures, error) {
	m := &model{Options: o, figures: targets.Figures{Values: map[string]float64{}}}
	if _, err := m.numbers(ctx); err != nil {
		return m.figures, err
	}
	if _, err := m.accuracy(ctx); err != nil {
		return m.figures, err
	}
	Speeds(m.figures.Values, r)
	return m.figures, nil
}
