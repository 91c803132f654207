package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"tritflow/cmd/tritflow/internal/batch"
	"tritflow/gguf/atomicfile"
	"tritflow/stages"
)

// batchSummary is what --summary writes.
type batchSummary struct {
	batch.Totals
	Resumed  int64           `json:"resumed"` // lines that earlier runs had finished
	Seconds  float64         `json:"seconds"` // of this run, after loading
	TokS     *float64        `json:"tok_s"`   // completion tokens of this run over seconds
	Joules   *float64        `json:"joules"`  // of the processors in this run; null where the machine does not tell
	InFlight int             `json:"max_inflight"`
	Defaults batchDefaults   `json:"defaults"`
	Devices  []batchedDevice `json:"devices"`
}

type batchDefaults struct {
	MaxTokens int `json:"max_tokens"`
	batchSampling
	Stop      []string `json:"stop"`
	IgnoreEOS bool     `json:"ignore_eos"`
}

type batchSampling struct {
	Temperature float32 `json:"temperature"`
	TopK        int     `json:"top_k"`
	TopP        float32 `json:"top_p"`
	MinP        float32 `json:"min_p"`
	Seed        uint64  `json:"seed"`
}

type batchedDevice struct {
	deviceStats
	Busy float64 `json:"busy"` // share of seconds
}

func (s *batchSummary) write(file *atomicfile.File) error {
	if s.Devices == nil {
		s.Devices = []batchedDevice{}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		return err
	}
	return file.Commit()
}

// batchMeter tells how a job goes on, as a bar on a terminal and as lines of
// the log elsewhere.
type batchMeter struct {
	a      *app
	e      *stages.Engine
	energy *batch.Energy
	bar    *progressbar.ProgressBar
	last   batch.Progress
	told   time.Duration // of last, when a line was logged
}

// tellEvery is how often the log says where a job is.
const tellEvery = 10 * time.Second

func newBatchMeter(a *app, e *stages.Engine, bar bool) *batchMeter {
	m := &batchMeter{a: a, e: e, energy: batch.StartEnergy()}
	if bar {
		m.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(a.err),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
	}
	return m
}

// show is told of the progress twice a second.
func (m *batchMeter) show(p batch.Progress) {
	m.energy.Tick()
	m.last = p
	eta, left := p.Left()
	switch {
	case m.bar != nil:
		text := fmt.Sprintf("%d lines, %.1f tok/s, %s", p.Requests, p.TokS(), m.busyText(p.Elapsed))
		if left > 0 {
			m.bar.ChangeMax64(p.Requests + left)
			text += ", " + eta.Round(time.Second).String() + " left"
		}
		m.bar.Describe(text)
		_ = m.bar.Set64(p.Requests) // a bar that cannot be drawn is no reason to stop
	case p.Elapsed-m.told >= tellEvery:
		m.told = p.Elapsed
		ev := m.a.log.Info().Int64("lines", p.Requests).Int64("failed", p.Failed).Float64("tok_s", p.TokS())
		if left > 0 {
			ev = ev.Dur("eta", eta)
		}
		ev.Str("busy", m.busyText(p.Elapsed)).Msg("working")
	}
}

func (m *batchMeter) done() {
	if m.bar != nil {
		_ = m.bar.Clear()
	}
}

// busy is how much of the time each device has worked.
func (m *batchMeter) busy(elapsed time.Duration) map[string]float64 {
	share := map[string]float64{}
	for _, s := range m.e.Stats().Stages {
		if s.Busy > 0 {
			share[s.Device] += s.Busy.Seconds() / elapsed.Seconds()
		}
	}
	return share
}

func (m *batchMeter) busyText(elapsed time.Duration) string {
	var parts []string
	for name, share := range m.busy(elapsed) {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", name, 100*share))
	}
	slices.Sort(parts)
	return "busy: " + strings.Join(parts, " ")
}

// summary of a run that came to its end.
func (m *batchMeter) summary(f *batchFlags, job *batch.Job) *batchSummary {
	p := m.last
	s := &batchSummary{
		Totals: job.Totals(), Resumed: job.Resumed(), Seconds: p.Elapsed.Seconds(),
		TokS: rate(int(p.Tokens), p.Elapsed), Joules: m.energy.Joules(), InFlight: f.seqs, Defaults: f.told(),
	}
	busy := m.busy(p.Elapsed)
	for _, d := range newStatsReport(m.e, nil).Devices {
		s.Devices = append(s.Devices, batchedDevice{d, busy[d.Name]})
	}
	m.a.log.Info().Int64("requests", s.Requests).Int64("failed", s.Failed).
		Int64("completion_tokens", s.CompletionTokens).Float64("seconds", s.Seconds).Float64("tok_s", p.TokS()).
		Float32("temperature_when_absent", s.Defaults.Temperature).Msg("done")
	return s
}
