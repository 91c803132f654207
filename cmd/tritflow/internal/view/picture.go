package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"tritflow/stages"
)

// Picture draws what happened between two snapshots. speeds are tokens a second
// over time, the last one now.
func Picture(title string, before, now stages.Snapshot, speeds []float64) string {
	d := stages.Since(before.Pipeline, now.Pipeline)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	current := 0.0
	if len(speeds) > 0 {
		current = speeds[len(speeds)-1]
	}
	line("%s   %s   %.1f tok/s %s", title, now.Pipeline.Elapsed.Round(100*time.Millisecond), current, spark(speeds, 0))
	line("requests  %d live, %d waiting, %d preempted, %d ended      steps in flight %d of %d",
		now.Pipeline.Live, now.Pipeline.Waiting, now.Pipeline.Preempted, now.Pipeline.Ended,
		now.Pipeline.Flying, now.Pipeline.Waves*rings(d))
	total := max(now.Pipeline.PagesTotal, 1)
	line("KV pages  %s %d used, %d cached, of %d; %s positions reused",
		bar(float64(now.Pipeline.PagesUsed)/float64(total), 20), now.Pipeline.PagesUsed, now.Pipeline.PagesCached,
		now.Pipeline.PagesTotal, humanize.Comma(int64(now.Pipeline.Reused)))
	line("")
	for ring := range rings(d) {
		ringPicture(line, ring, d, now)
	}
	line("%s", stages.Advice(before.Pipeline, now.Pipeline))
	return b.String()
}

func rings(s stages.Stats) int {
	n := 1
	for _, st := range s.Stages {
		n = max(n, st.Replica+1)
	}
	return n
}

// ringPicture draws the devices of one replica in the order of the ring.
func ringPicture(line func(string, ...any), ring int, d stages.Stats, now stages.Snapshot) {
	line("  ╭─▶ scheduler")
	for _, dev := range d.Devices {
		if dev.Replica != ring {
			continue
		}
		var own []stages.StageStats
		for _, s := range d.Stages {
			if s.Device == dev.Device && s.Replica == ring {
				own = append(own, s)
			}
		}
		s := dev.Shares
		line("  │    ║")
		line("  │  %-7s %s busy %3.0f%%  starved %3.0f%%  blocked %3.0f%%   %s", dev.Device, bar(s.Busy, 20),
			100*s.Busy, 100*s.Starved, 100*s.Blocked, memory(now.Memory, dev.Device))
		busy, queue := make([]float64, len(own)), 0
		for i, st := range own {
			busy[i] = st.Shares.Busy
			queue += st.Queue
		}
		line("  │    %s %s %s   %d in queues", own[0].Name, spark(busy, 0), own[len(own)-1].Name, queue)
	}
	line("  ╰───── sample")
	line("")
}

// memory is what a device holds beside what was planned.
func memory(m stages.Memory, device string) string {
	for _, d := range m.Devices {
		if d.Device == device {
			used := int64(0)
			for _, n := range d.Used.Now {
				used += n
			}
			return fmt.Sprintf("%s of %s planned", humanize.IBytes(uint64(max(used, 0))), humanize.IBytes(d.Total()))
		}
	}
	return ""
}

// bar fills a part of width cells.
func bar(part float64, width int) string {
	n := int(part*float64(width) + 0.5)
	n = max(0, min(n, width))
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

var heights = []rune("▁▂▃▄▅▆▇█")

// spark draws values as heights of the largest, or of top where that is more.
func spark(values []float64, top float64) string {
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	for _, v := range values {
		i := 0
		if top > 0 {
			i = int(v / top * float64(len(heights)-1))
		}
		b.WriteRune(heights[max(0, min(i, len(heights)-1))])
	}
	return b.String()
}
