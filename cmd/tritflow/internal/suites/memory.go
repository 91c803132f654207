package suites

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"

	"github.com/dustin/go-humanize"

	"tritflow/bench"
)

// What is made to work at once while memory is measured.
const (
	memoryRequests  = 8
	memoryPositions = 512
)

// memory compares what was taken with the plan.
func (m *model) memory(ctx context.Context) ([]Check, error) {
	o := m.Engine
	o.MaxSeqs = memoryRequests
	if o.Ctx == 0 {
		o.Ctx = memoryPositions
	}
	if err := m.bound(&o.Ctx); err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	r, err := bench.MeasureMemory(ctx, bench.MemoryOptions{Model: m.Path, Engine: o, Loaded: m.Loaded})
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	c := Check{Name: fmt.Sprintf("plan of %d requests of %d positions", r.Requests, r.Ctx), Limit: "at most " + humanize.IBytes(r.Plan.Host), Pass: r.Pass()}
	if r.Peak == 0 {
		c.Value = "resident memory is not known here; the ledgers are as planned"
	} else {
		c.Value = humanize.IBytes(r.Peak) + " at most"
		m.figures.Values["memory_over_plan"] = r.Ratio()
	}
	if len(r.Problems) > 0 {
		c.Value = r.Problems[0]
	}
	checks := []Check{c}
	if r.Plan.Limit > 0 && r.Peak > 0 {
		over := float64(r.Peak)/float64(r.Plan.Limit) - 1
		checks = append(checks, Check{
			Name: "promise of --max-memory", Value: humanize.IBytes(r.Peak), Limit: "at most " + humanize.IBytes(r.Plan.Limit) + " and 5 %",
			Pass: over <= bench.Overshoot && !math.IsNaN(over),
		})
	}
	return checks, nil
}
