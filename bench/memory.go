package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"golang.org/x/sync/errgroup"

	"tritflow/device"
	"tritflow/graph"
	"tritflow/stages"
)

// MemoryOptions of MeasureMemory. Engine says how many sequences of how many positions
// there may be, and with MaxMemory what was promised.
type MemoryOptions struct {
	Model  string // path, "" = the built-in model
	Engine stages.Options
	Loaded func(stages.Memory) // called when the model is loaded; may be nil
	Step   func(done, total int)
}

// Overshoot is how far measured memory may be above a promise.
const Overshoot = 0.05

// MemoryReport is the plan of a model's memory with what was measured beside it.
type MemoryReport struct {
	Model    string        `json:"model"`
	Requests int           `json:"requests"`
	Ctx      int           `json:"ctx"`
	Plan     stages.Memory `json:"plan"`     // made before anything was loaded
	Phases   []MemoryPhase `json:"phases"`   // load, prefill, decode, batch
	Peak     uint64        `json:"peak_rss"` // bytes, the largest of the phases; 0 = not known
	Problems []string      `json:"problems"` // what is above plan or promise
}

// MemoryPhase is what was in use while something was done.
type MemoryPhase struct {
	Name   string         `json:"name"`
	Tokens int            `json:"tokens"` // that went through the network
	RSS    uint64         `json:"rss"`    // resident at its end, mapped pages included; 0 = not known
	Peak   uint64         `json:"peak"`   // largest resident memory during it
	Ledger []device.Usage `json:"ledger"` // of each device at its end, with the peaks so far
}

// MeasureMemory loads a model and makes it work: one prompt is read, one answer given,
// then as many requests as there may be at once fill their context. Between them the
// resident memory and the devices' ledgers are read. A model that does not fit is the
// *OpenError of its plan.
func MeasureMemory(ctx context.Context, opt MemoryOptions) (r *MemoryReport, err error) {
	m := &memoryRun{opt: opt, report: &MemoryReport{Problems: []string{}}}
	resetPeakRSS()
	if m.engine, err = stages.Open(ctx, opt.Model, opt.Engine); err != nil {
		return nil, &OpenError{err}
	}
	defer func() { err = errors.Join(err, m.engine.Close()) }()
	e, r := m.engine, m.report
	if opt.Loaded != nil {
		opt.Loaded(e.Memory())
	}
	r.Model, r.Plan, r.Ctx, r.Requests = e.Model().Name, e.Layout().Memory, e.Ctx(), e.Layout().Seqs
	m.phase("load", 0)
	long := max(1, e.Ctx()-tailTokens)
	for _, p := range []struct {
		name                     string
		requests, prompt, tokens int
	}{
		{"prefill", 1, long, 1},
		{"decode", 1, min(BatchContext, long), tailTokens / 2},
		{"batch", r.Requests, long, tailTokens},
	} {
		resetPeakRSS()
		tokens, err := m.work(ctx, p.requests, p.prompt, p.tokens)
		if err != nil {
			return nil, fmt.Errorf("bench: %s: %w", p.name, err)
		}
		// The screening copy is made when the first answer was given.
		if err := settled(ctx, e.Devices()); err != nil {
			return nil, err
		}
		m.phase(p.name, tokens)
	}
	r.judge()
	return r, nil
}

type memoryRun struct {
	opt    MemoryOptions
	engine *stages.Engine
	report *MemoryReport
}

// work runs requests whose prompts have nothing in common, so that each needs its pages.
func (m *memoryRun) work(ctx context.Context, requests, length, tokens int) (fed int, err error) {
	group, ctx := errgroup.WithContext(ctx)
	for i := range requests {
		r := stages.Request{Tokens: apart(m.engine.Model(), i, length), MaxTokens: tokens, IgnoreEOS: true}
		group.Go(func() error {
			s, err := m.engine.Submit(ctx, r)
			if err != nil {
				return err
			}
			return s.Err()
		})
	}
	return requests * (length + tokens), group.Wait()
}

// apart is prompt with another beginning for each i.
func apart(m *graph.Model, i, n int) []int32 {
	ids := prompt(m, n)
	ids[0] = int32((m.Vocab/4 + 1 + i*17) % m.Vocab)
	return ids
}

// phase records a phase that has ended.
func (m *memoryRun) phase(name string, tokens int) {
	p := MemoryPhase{Name: name, Tokens: tokens, RSS: residentNow(), Peak: peakRSS()}
	for _, d := range m.engine.Devices() {
		p.Ledger = append(p.Ledger, d.Ledger().Snapshot())
	}
	r := m.report
	r.Phases = append(r.Phases, p)
	r.Peak = max(r.Peak, p.Peak)
	if m.opt.Step != nil {
		m.opt.Step(len(r.Phases), 4)
	}
}

// judge compares with the plan and, where there is one, with the promise.
func (r *MemoryReport) judge() {
	over := func(what string, got, most uint64) {
		if most > 0 && float64(got) > float64(most)*(1+Overshoot) {
			r.Problems = append(r.Problems, fmt.Sprintf("%s: %s measured, %s planned", what, humanize.IBytes(got), humanize.IBytes(most)))
		}
	}
	if r.Plan.Limit > 0 {
		over("resident memory against the promise", r.Peak, r.Plan.Limit)
	}
	over("resident memory", r.Peak, r.Plan.Host)
	for i, d := range r.Plan.Devices {
		var sum uint64
		// The largest sum that stood in the ledger at the end of a phase.
		for _, p := range r.Phases {
			now := uint64(0)
			for _, bytes := range p.Ledger[i].Now {
				now += uint64(max(bytes, 0))
			}
			sum = max(sum, now)
		}
		over("ledger of "+d.Device, sum, d.Total())
		kv := r.Phases[len(r.Phases)-1].Ledger[i].Peak[device.KVCache.String()]
		over("KV cache of "+d.Device, uint64(kv), d.KV)
	}
}

// Pass says whether everything is as planned.
func (r *MemoryReport) Pass() bool { return len(r.Problems) == 0 }

// Ratio is the peak over the plan, NaN where it is not known.
func (r *MemoryReport) Ratio() float64 {
	if r.Peak == 0 || r.Plan.Host == 0 {
		return math.NaN()
	}
	return float64(r.Peak) / float64(r.Plan.Host)
}

// WriteTable prints the report for people.
func (r *MemoryReport) WriteTable(w io.Writer) error {
	size := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	resident := func(n uint64) string {
		if n == 0 {
			return "not known"
		}
		return humanize.IBytes(n)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\ttokens\tresident\tpeak\tmapped\tcopies\tKV cache\tactivations\t\n")
	for i, d := range r.Plan.Devices {
		fmt.Fprintf(t, "plan of %s\t\t\t%s\t%s\t%s\t%s\t%s\t\n", d.Device, size(int64(d.Total())), size(int64(d.Weights)),
			size(int64(d.Copies+d.Screening)), size(int64(d.KV)), size(int64(d.Activations)))
		for _, p := range r.Phases {
			u := p.Ledger[i].Now
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", p.Name, p.Tokens, resident(p.RSS), resident(p.Peak),
				size(u["mapped"]), size(u["weights"]), size(u["kv"]), size(u["activations"]))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	limit := "no promise"
	if r.Plan.Limit > 0 {
		limit = humanize.IBytes(r.Plan.Limit) + " promised"
	}
	if _, err := fmt.Fprintf(w, "\n%d requests of %d positions: %s planned in the host's memory (%s for the program), %s at most, %s\n",
		r.Requests, r.Ctx, humanize.IBytes(r.Plan.Host), humanize.IBytes(r.Plan.Program), resident(r.Peak), limit); err != nil {
		return err
	}
	for _, p := range r.Problems {
		if _, err := fmt.Fprintf(w, "ABOVE %s\n", p); err != nil {
			return err
		}
	}
	return nil
}
