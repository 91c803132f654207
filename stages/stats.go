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
	Tokens      uint64        `json:"tokens"`     // drawn
	Ended       uint64        `json:"ended"`      // requests
	Waves       int           `json:"waves"`      // Steps that may be under way, of each replica
	Devices     []DeviceStats `json:"devices"`
}

// Shares say how a stage's or a device's time was divided; they add up to 1.
type Shares struct {
	Busy    float64 `json:"busy"`
	Wait    float64 `json:"wait"`    // for its device, which works for another stage
	Starved float64 `json:"starved"` // nothing to do
	Blocked float64 `json:"blocked"` // the next stage does not take what is done
}

// shares divides the time in which the stage's device did not work for it as
// the stage spent its own: a device that works on while its stage waits for the
// next Step is busy.
func (s *StageStats) shares() Shares {
	if s.Elapsed <= 0 {
		return Shares{Starved: 1}
	}
	sh := Shares{Busy: min(1, s.Busy.Seconds()/s.Elapsed.Seconds())}
	rest := (s.DeviceWait + s.Starved + s.Blocked).Seconds()
	if rest <= 0 {
		sh.Starved = 1 - sh.Busy
		return sh
	}
	unit := (1 - sh.Busy) / rest
	sh.Wait, sh.Blocked = unit*s.DeviceWait.Seconds(), unit*s.Blocked.Seconds()
	sh.Starved = max(0, 1-sh.Busy-sh.Wait-sh.Blocked)
	return sh
}

// DeviceStats is a device's time over all of its stages in a replica. It works
// for one of them at a time, so none of it is Wait.
type DeviceStats struct {
	Device  string `json:"device"`
	Replica int    `json:"replica"`
	Stages  int    `json:"stages"`
	Shares  Shares `json:"shares"`
}

// deviceStats adds up the stages of each device.
func deviceStats(stages []StageStats) []DeviceStats {
	var all []DeviceStats
	at := map[DeviceStats]int{}
	sums := []StageStats{}
	for _, s := range stages {
		if s.Device == hostDevice {
			continue
		}
		key := DeviceStats{Device: s.Device, Replica: s.Replica}
		i, ok := at[key]
		if !ok {
			i = len(all)
			at[key] = i
			all, sums = append(all, key), append(sums, StageStats{})
		}
		all[i].Stages++
		sums[i].Busy += s.Busy
		sums[i].Starved += s.Starved
		sums[i].Blocked += s.Blocked
		sums[i].Elapsed = max(sums[i].Elapsed, s.Elapsed)
	}
	for i := range all {
		all[i].Shares = sums[i].shares()
	}
	return all
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
	Queue      int           `json:"queue"` // Steps that wait at the moment
	Elapsed    time.Duration `json:"elapsed_ns"`
	Shares     Shares        `json:"shares"`
}

// gauges are what a scheduler shows of itself.
type gauges struct {
	steps, rows, tokens, ended, reused, evicted, preempted, recomputed atomic.Uint64
	live, parked, flying, pagesUsed, pagesCached                       atomic.Int64
}

// stats reads all counters. Each is consistent in itself; they may be of
// slightly different moments.
func (p *pipeline) stats() Stats {
	s := Stats{Elapsed: time.Since(p.started), Waiting: p.len(), PagesTotal: p.limits.pages * len(p.rings)}
	for _, r := range p.rings {
		g := &r.gauges
		s.Steps += g.steps.Load()
		s.Rows += g.rows.Load()
		s.Tokens += g.tokens.Load()
		s.Ended += g.ended.Load()
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
			s.Stages = append(s.Stages, st.snapshot(p.started))
		}
	}
	s.Devices, s.Waves = deviceStats(s.Stages), p.limits.waves
	return s
}
