package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Comparison is the same work on other devices, measured in the same run.
type Comparison struct {
	Devices  string    `json:"devices"` // as a device list names them
	Results  []Result  `json:"results"`
	Speedups []Speedup `json:"speedups"`
}

// Speedup is how many times as fast as on the other devices a kind of work was.
type Speedup struct {
	Name    string  `json:"name"`
	N       int     `json:"n"`
	Context int     `json:"context"`
	Times   float64 `json:"times"` // of the medians
}

// compare measures the work of a report on other devices.
func (b *bencher) compare(ctx context.Context, within time.Duration) error {
	c := &Comparison{Devices: b.opt.Against, Results: []Result{}}
	other := bencher{opt: b.opt, log: b.log, limit: b.limit, other: true, report: &Report{Machine: b.report.Machine}}
	other.opt.Engine.Devices, other.opt.Engine.Split = b.opt.Against, nil
	other.opt.Only = slices.DeleteFunc(slices.Clone(b.opt.Only), func(k string) bool { return k == "kernels" })
	if err := other.cases(ctx, within); err != nil {
		return err
	}
	b.report.Machine.Devices = other.report.Machine.Devices
	for _, s := range other.report.Skipped {
		if !slices.Contains(b.report.Skipped, s) {
			b.report.Skipped = append(b.report.Skipped, s)
		}
	}
	c.Results = append(c.Results, other.report.Results...)
	c.Speedups = speedups(b.report.Results, c.Results)
	b.report.Against = c
	return nil
}

// speedups compares what both have, each with most threads.
func speedups(results, others []Result) []Speedup {
	list := []Speedup{}
	for _, o := range others {
		var best [2]*Result
		for side, all := range [2][]Result{results, others} {
			for i := range all {
				x := &all[i]
				if x.Name == o.Name && x.N == o.N && x.Context == o.Context && (best[side] == nil || x.Threads > best[side].Threads) {
					best[side] = x
				}
			}
		}
		if best[0] != nil && best[1].Threads == o.Threads {
			list = append(list, Speedup{o.Name, o.N, o.Context, best[0].TokS.Median / o.TokS.Median})
		}
	}
	return list
}

func (c *Comparison) writeTable(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "\non %s:\n", c.Devices); err != nil {
		return err
	}
	if err := writeResults(w, c.Results); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nwork\tn\tcontext\ttimes as fast as on %s\t\n", c.Devices)
	for _, s := range c.Speedups {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.2f\t\n", s.Name, s.N, s.Context, s.Times)
	}
	return t.Flush()
}
