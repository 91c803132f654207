package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"tritflow/device"
	"tritflow/stages"
)

// statsReport is what --stats tells.
type statsReport struct {
	LoadMS   float64        `json:"load_ms"`
	Requests []requestStats `json:"requests"`
	Pipeline stages.Stats   `json:"pipeline"`
	Devices  []deviceStats  `json:"devices"`
}

type requestStats struct {
	Index  int    `json:"index"`
	Finish string `json:"finish_reason"`
	usage
	timings
}

type deviceStats struct {
	Name    string       `json:"name"`
	Model   string       `json:"model"`
	Tier    string       `json:"tier"`
	Workers int          `json:"workers"`
	Memory  device.Usage `json:"memory"`

	Screening *device.Screening `json:"screening,omitempty"` // of its head, where it has one
}

func newStatsReport(e *stages.Engine, answers []*answer) statsReport {
	r := statsReport{LoadMS: milliseconds(e.LoadTime()), Pipeline: e.Stats()}
	for _, ans := range answers {
		r.Requests = append(r.Requests, requestStats{
			Index:   ans.index,
			Finish:  string(ans.result.Finish),
			usage:   usage{ans.result.PromptTokens, len(ans.result.Tokens)},
			timings: timingsOf(ans.result, e.LoadTime()),
		})
	}
	for _, d := range e.Devices() {
		info := d.Info()
		s := deviceStats{Name: info.Name, Model: info.Model, Tier: info.Tier, Workers: info.Workers, Memory: d.Ledger().Snapshot()}
		if screener, ok := d.(device.Screener); ok {
			if c := screener.Screening(); c.State != "" {
				s.Screening = &c
			}
		}
		r.Devices = append(r.Devices, s)
	}
	return r
}

// printStats writes the report to standard error: tables on a terminal, one
// JSON line elsewhere.
func (a *app) printStats(e *stages.Engine, answers []*answer) error {
	r := newStatsReport(e, answers)
	var err error
	if a.terminal {
		err = r.table(a.err)
	} else {
		err = writeJSON(a.err, map[string]statsReport{"stats": r}, false)
	}
	if err != nil {
		return fmt.Errorf("writing the statistics to standard error: %w", err)
	}
	return nil
}

func (r statsReport) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nloaded in %.0f ms\n\n", r.LoadMS)
	fmt.Fprintln(t, "request\tprompt\ttokens\tfirst ms\tprefill tok/s\tdecode tok/s\tended by\t")
	for _, q := range r.Requests {
		fmt.Fprintf(t, "%d\t%d\t%d\t%s\t%s\t%s\t%s\t\n", q.Index, q.PromptTokens, q.CompletionTokens,
			figure(q.FirstTokenMS), figure(q.PrefillTokS), figure(q.DecodeTokS), q.Finish)
	}
	fmt.Fprintln(t, "\nstage\tdevice\tsteps\trows\tbusy\tdevice wait\tstarved\tblocked\tqueue\t")
	for _, s := range r.Pipeline.Stages {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%d/%d\t\n", s.Name, s.Device, s.Steps, s.Rows,
			round(s.Busy), round(s.DeviceWait), round(s.Starved), round(s.Blocked), s.QueueMax, s.QueueCap)
	}
	fmt.Fprintln(t, "\ndevice\ttier\tworkers\tmapped\tweights\tkv peak\tactivations peak\t")
	for _, d := range r.Devices {
		bytes := func(n int64) string { return humanize.IBytes(uint64(n)) }
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t\n", d.Name, d.Tier, d.Workers,
			bytes(d.Memory.Now[device.Mapped.String()]), bytes(d.Memory.Now[device.Weights.String()]),
			bytes(d.Memory.Peak[device.KVCache.String()]), bytes(d.Memory.Peak[device.Activations.String()]))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range r.Devices {
		if c := d.Screening; c != nil {
			if _, err := fmt.Fprintf(w, "\nhead on %s: screening %s (%s), %d answers from %d exact products, %d by the full head\n",
				d.Name, c.State, humanize.IBytes(uint64(c.Bytes)), c.Screened, c.Rescored, c.Full); err != nil {
				return err
			}
		}
	}
	return nil
}

func figure(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f", *v)
}

func round(d time.Duration) time.Duration {
	return d.Round(10 * time.Microsecond)
}
