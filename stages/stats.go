package stages

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot of the pipeline's counters, summed over its replicas.
type Stats struct {
	Elapsed     time.Duration `json:"elapsed_ns"` // since the pipeline was started
	Stages      []StageStats  `json:"stages"`
	Steps       uint64        `json:"steps"`
	Rows        uint64        `json:"rows"`         // computed in these Steps
	Live        int           `json:"live"`         // sequences that have a place
	Waiting     int           `json:"waiting"`      // requests that wait for one
	Preempted   int           `json:"preempted"`    // sequences that lost theirs and wait
	Flying      int           `json:"flying"`       // Steps under way
	PagesUsed   int           `json:"pages_used"`   // KV pages held by sequences
	PagesCached int           `json:"pages_cached"` // KV pages of prefixes that no sequence holds
	PagesTotal  int           `json:"pages_total"`  // KV pages there are
	Reused      uint64        `json:"reused"`       // positions taken over from the prefix cache
	Evictions   uint64        `json:"evictions"`    // pages that the prefix cache gave up
	Preemptions uint64        `json:"preemptions"`
	Recomputed  uint64        `json:"recomputed"` // rows of Rows that had been computed before a preemption
}

// StageStats: where a stage's time went. Starved: waiting for a Step. Blocked:
// waiting for the next stage to take one. Device: waiting for its device.
type StageStats struct {
	Name       string        `json:"name"`
	Device     string        `json:"device"`
	Busy       time.Duration `json:"busy_ns"`
	DeviceWait time.Duration `json:"device_wait_ns"`
	Starved    time.Duration `json:"starved_ns"`
	Blocked    time.Duration `json:"blocked_ns"`
	Steps      uint64        `json:"steps"`
	Rows       uint64        `json:"rows"`
	QueueMax   int           `json:"queue_max"`
	QueueCap   int           `json:"queue_cap"`
	Replica    int           `json:"replica"`
}

// gauges are what a scheduler shows of itself.
type gauges struct {
	steps, rows, reused, evicted, preempted, recomputed atomic.Uint64
	live, parked, flying, pagesUsed, pagesCached        atomic.Int64
}

// stats reads all counters. Each is consistent in itself; they may be of
// slightly different moments.
func (p *pipeline) stats() Stats {
	s := Stats{Elapsed: time.Since(p.started), Waiting: p.len(), PagesTotal: p.limits.pages * len(p.rings)}
	for _, r := range p.rings {
		g := &r.gauges
		s.Steps += g.steps.Load()
		s.Rows += g.rows.Load()
		s.Live += int(g.live.Load())
		s.Preempted += int(g.parked.Load())
		s.Flying += int(g.flying.Load())
		s.PagesUsed += int(g.pagesUsed.Load())
		s.PagesCached += int(g.pagesCached.Load())
		s.Reused += g.reused.Load()
		s.Evictions += g.evicted.Load()
		s.Preemptions += g.preempted.Load()
		s.Recomputed += g.recomputed.Load()
		for _, st := range r.stages {
			s.Stages = append(s.Stages, st.snapshot())
		}
	}
	return s
}
