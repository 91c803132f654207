package stages

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Snapshot is everything that an engine tells of itself at a moment.
type Snapshot struct {
	Time     time.Time `json:"time"`
	Pipeline Stats     `json:"pipeline"`
	Memory   Memory    `json:"memory"`
	Advice   string    `json:"advice"`
}

// Snapshot reads counters, memory and what they suggest.
func (e *Engine) Snapshot() Snapshot {
	s := Snapshot{Time: time.Now(), Pipeline: e.Stats(), Memory: e.Memory()}
	s.Advice = Advice(Stats{}, s.Pipeline)
	return s
}

// WritePrometheus writes a snapshot in the text format of Prometheus.
func (s *Snapshot) WritePrometheus(w io.Writer) error {
	m := metricWriter{bufio.NewWriter(w)}
	p := &s.Pipeline
	for _, c := range []struct {
		name, kind, help string
		value            float64
	}{
		{"steps_total", "counter", "Steps composed.", float64(p.Steps)},
		{"rows_total", "counter", "Rows computed.", float64(p.Rows)},
		{"tokens_total", "counter", "Tokens drawn.", float64(p.Tokens)},
		{"requests_ended_total", "counter", "Requests that ended.", float64(p.Ended)},
		{"prefix_reused_total", "counter", "Positions taken over from the prefix cache.", float64(p.Reused)},
		{"prefix_evictions_total", "counter", "Pages given up by the prefix cache.", float64(p.Evictions)},
		{"preemptions_total", "counter", "Sequences that lost their pages.", float64(p.Preemptions)},
		{"rows_recomputed_total", "counter", "Rows computed again after a preemption.", float64(p.Recomputed)},
		{"requests_live", "gauge", "Sequences that have a place.", float64(p.Live)},
		{"requests_waiting", "gauge", "Requests that wait for a place.", float64(p.Waiting)},
		{"requests_preempted", "gauge", "Sequences that lost their place and wait.", float64(p.Preempted)},
		{"steps_in_flight", "gauge", "Steps under way.", float64(p.Flying)},
		{"kv_pages_used", "gauge", "KV pages held by sequences.", float64(p.PagesUsed)},
		{"kv_pages_cached", "gauge", "KV pages of prefixes that nobody holds.", float64(p.PagesCached)},
		{"kv_pages", "gauge", "KV pages.", float64(p.PagesTotal)},
		{"memory_host_planned_bytes", "gauge", "Planned bytes of the host's memory.", float64(s.Memory.Host)},
	} {
		m.head(c.name, c.kind, c.help)
		m.value(c.name, c.value)
	}
	m.head("stage_seconds_total", "counter", "Time of each stage by what it did.")
	for _, st := range p.Stages {
		for _, t := range []struct {
			state string
			d     time.Duration
		}{{"busy", st.Busy}, {"wait", st.DeviceWait}, {"starved", st.Starved}, {"blocked", st.Blocked}} {
			m.value("stage_seconds_total", t.d.Seconds(), "stage", st.Name, "device", st.Device, "replica", strconv.Itoa(st.Replica), "state", t.state)
		}
	}
	m.head("stage_queue", "gauge", "Steps that wait before each stage.")
	for _, st := range p.Stages {
		m.value("stage_queue", float64(st.Queue), "stage", st.Name, "device", st.Device, "replica", strconv.Itoa(st.Replica))
	}
	m.head("device_memory_bytes", "gauge", "Bytes of each device by use, from its ledger.")
	for _, d := range s.Memory.Devices {
		for _, use := range []string{"mapped", "weights", "kv", "activations"} {
			m.value("device_memory_bytes", float64(d.Used.Now[use]), "device", d.Device, "use", use)
		}
	}
	return m.Flush()
}

// metricWriter keeps the first error for Flush.
type metricWriter struct{ *bufio.Writer }

func (m metricWriter) head(name, kind, help string) {
	_, _ = fmt.Fprintf(m, "# HELP tritflow_%s %s\n# TYPE tritflow_%s %s\n", name, help, name, kind)
}

// value writes a sample with labels given as names and values by turns.
func (m metricWriter) value(name string, v float64, labels ...string) {
	_, _ = fmt.Fprintf(m, "tritflow_%s", name)
	for i := 0; i < len(labels); i += 2 {
		open := ","
		if i == 0 {
			open = "{"
		}
		_, _ = fmt.Fprintf(m, "%s%s=%q", open, labels[i], labels[i+1])
	}
	if len(labels) > 0 {
		_, _ = m.WriteString("}")
	}
	_, _ = fmt.Fprintf(m, " %s\n", strconv.FormatFloat(v, 'g', -1, 64))
}
