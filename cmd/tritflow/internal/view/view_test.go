package view

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tritflow/stages"
)

// snapshot is one of two devices, of which the second does half the work.
func snapshot(seconds int) stages.Snapshot {
	at := time.Duration(seconds) * time.Second
	stage := func(name, device string, busy float64) stages.StageStats {
		b := time.Duration(busy * float64(at))
		return stages.StageStats{Name: name, Device: device, Busy: b, Starved: at - b, Elapsed: at, Steps: uint64(seconds), QueueCap: 1, Queue: 1}
	}
	return stages.Snapshot{
		Pipeline: stages.Stats{
			Elapsed: at, Steps: uint64(10 * seconds), Tokens: uint64(50 * seconds), Live: 8, Waves: 2, Flying: 2,
			PagesUsed: 30, PagesCached: 5, PagesTotal: 60, Reused: 12345,
			Stages: []stages.StageStats{
				stage("embed", "cpu:0", 0.05), stage("block 0", "cpu:0", 0.45), stage("block 1", "cpu:0", 0.45),
				stage("block 2", "cpu:1", 0.4), stage("head", "cpu:1", 0.1), stage("sample", "host", 0.01),
			},
		},
		Memory: stages.Memory{Devices: []stages.DeviceMemory{{Device: "cpu:0", Weights: 3 << 20}, {Device: "cpu:1", KV: 1 << 20}}},
	}
}

func TestPicture(t *testing.T) {
	text := Picture("name", snapshot(2), snapshot(4), []float64{10, 50})
	for _, want := range []string{
		"name   4s   50.0 tok/s ▂█", "8 live, 0 waiting", "steps in flight 2 of 2",
		"██████████░░░░░░░░░░ 30 used, 5 cached, of 60; 12,345 positions reused",
		"cpu:0   ███████████████████░ busy  95%  starved   5%  blocked   0%   0 B of 3.0 MiB planned",
		"embed ▁██ block 1   3 in queues", "cpu:1   ██████████░░░░░░░░░░ busy  50%  starved  50%",
		"cpu:0 is the bottleneck, busy 95% of the time and the next one 50%",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("without %q:\n%s", want, text)
		}
	}
}

// TestView draws until it is stopped, and ends when its context does.
func TestView(t *testing.T) {
	var asked atomic.Int32
	source := func() stages.Snapshot { return snapshot(1 + int(asked.Add(1))) }
	for _, cancelled := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		var out bytes.Buffer
		v := Start(ctx, &out, "title", source)
		if cancelled {
			cancel()
		}
		if err := v.Stop(ctx); err != nil {
			t.Errorf("cancelled %v: %v", cancelled, err)
		}
		cancel()
		if !cancelled && !strings.Contains(out.String(), "bottleneck") {
			t.Errorf("drawn: %q", out.String())
		}
	}
}
