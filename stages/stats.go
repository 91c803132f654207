package stages

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot of the pipeline's counters.
type Stats struct {
	Stages     []StageStats `json:"stages"`
	Steps      uint64       `json:"steps"`
	Live       int          `json:"live"`        // sequences that hold pages
	Waiting    int          `json:"waiting"`     // requests that wait for a place
	PagesUsed  int          `json:"pages_used"`  // KV pages held by sequences
	PagesTotal int          `json:"pages_total"` // KV pages there are
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
}

// gauges are what the scheduler shows of itself.
type gauges struct {
	steps                    atomic.Uint64
	live, waiting, pagesUsed atomic.Int64
}

// stats reads all counters. Each is consistent in itself; they may be of
// slightly different moments.
func (p *pipeline) stats() Stats {
	s := Stats{
		Steps:      p.gauges.steps.Load(),
		Live:       int(p.gauges.live.Load()),
		Waiting:    int(p.gauges.waiting.Load()),
		PagesUsed:  int(p.gauges.pagesUsed.Load()),
		PagesTotal: p.limits.pages,
	}
	for _, g := range p.stages {
		s.Stages = append(s.Stages, g.snapshot())
	}
	return s
}
