package stages

import "fmt"

// Where advice draws its lines.
const (
	busyEnough = 0.85 // a device that works so much of the time is at its limit
	lopsided   = 0.15 // more than this between the busiest and the next: another split
)

// Advice names what holds the pipeline up, from two snapshots some time apart
// (the earlier one may be the zero value), and says what would help.
func Advice(before, now Stats) string {
	d := Since(before, now)
	if d.Steps == 0 {
		return "nothing to do"
	}
	busiest, second := -1, -1
	for i := range d.Devices {
		switch busy := d.Devices[i].Shares.Busy; {
		case busiest < 0 || busy > d.Devices[busiest].Shares.Busy:
			busiest, second = i, busiest
		case second < 0 || busy > d.Devices[second].Shares.Busy:
			second = i
		}
	}
	if busiest < 0 {
		return "nothing to do"
	}
	top := d.Devices[busiest]
	rings := 1
	for _, s := range d.Stages {
		rings = max(rings, s.Replica+1)
	}
	switch {
	case now.Waiting+now.Preempted > 0 && now.PagesUsed > now.PagesTotal*9/10 && now.Live < now.Waves*rings:
		return fmt.Sprintf("the KV cache is full: %d of %d pages are in use and %d requests wait; more memory, fewer positions or a smaller KV type would help",
			now.PagesUsed, now.PagesTotal, now.Waiting+now.Preempted)
	case now.Live > 0 && now.Live < now.Waves*rings && now.Waiting == 0 && top.Shares.Busy < busyEnough:
		return fmt.Sprintf("%d requests are not enough for %d steps in flight: more requests at once would help, or fewer devices", now.Live, now.Waves*rings)
	case second >= 0 && top.Shares.Busy-d.Devices[second].Shares.Busy > lopsided:
		return fmt.Sprintf("%s is the bottleneck, busy %.0f%% of the time and the next one %.0f%%: fewer blocks on it would help (--split)",
			top.Device, 100*top.Shares.Busy, 100*d.Devices[second].Shares.Busy)
	case top.Shares.Busy >= busyEnough && len(d.Devices) > 1:
		return fmt.Sprintf("every device is busy (%s %.0f%%): only more or faster ones would help", top.Device, 100*top.Shares.Busy)
	case top.Shares.Busy >= busyEnough:
		return fmt.Sprintf("%s is busy %.0f%% of the time: larger batches, another device or a faster one would help", top.Device, 100*top.Shares.Busy)
	default:
		return fmt.Sprintf("no device is busy (%s %.0f%%): readers that do not keep up, or steps too small for their hand-overs; more requests at once would help",
			top.Device, 100*top.Shares.Busy)
	}
}

// Since is what happened between two snapshots of one engine: times and
// counters are differences, everything else is as it is now.
func Since(before, now Stats) Stats {
	d := now
	d.Elapsed -= before.Elapsed
	d.Steps -= before.Steps
	d.Rows -= before.Rows
	d.Reused -= before.Reused
	d.Evictions -= before.Evictions
	d.Preemptions -= before.Preemptions
	d.Recomputed -= before.Recomputed
	d.Tokens -= before.Tokens
	d.Ended -= before.Ended
	d.Stages = append([]StageStats(nil), now.Stages...)
	for i := range d.Stages {
		s := &d.Stages[i]
		if i < len(before.Stages) {
			b := &before.Stages[i]
			s.Busy -= b.Busy
			s.DeviceWait -= b.DeviceWait
			s.Starved -= b.Starved
			s.Blocked -= b.Blocked
			s.Elapsed -= b.Elapsed
			s.Steps -= b.Steps
			s.Rows -= b.Rows
		}
		s.Shares = s.shares()
	}
	d.Devices = deviceStats(d.Stages)
	return d
}
