package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tritflow/stages"
	"tritflow/stages/trace"
)

// TestSharesAgreeWithTrace: what the view says of each device adds up to 100 %, and the
// busy share is within 2 % of what the trace of the same time says.
func TestSharesAgreeWithTrace(t *testing.T) {
	rec := trace.New()
	e, err := stages.Open(t.Context(), "", stages.Options{Devices: "cpu:1,cpu:1", Split: []int{4, 2}, Trace: rec})
	if err != nil {
		t.Fatal(err)
	}
	before := e.Snapshot()
	var group errgroup.Group
	for i := range 6 {
		group.Go(func() error {
			s, err := e.Submit(t.Context(), stages.Request{Prompt: fmt.Sprintf("Once %d", i), MaxTokens: 300, IgnoreEOS: true})
			if err != nil {
				return err
			}
			return s.Err()
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	now := e.Snapshot()
	picture := Picture("", before, now, nil)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	traced := workOf(t, rec)
	shown := regexp.MustCompile(`(cpu:\d)\s+\S+ busy\s+(\d+)%  starved\s+(\d+)%  blocked\s+(\d+)%`).FindAllStringSubmatch(picture, -1)
	if len(shown) != 2 || len(traced) != 2 {
		t.Fatalf("%d devices in the view, %d in the trace:\n%s", len(shown), len(traced), picture)
	}
	for _, m := range shown {
		var busy, starved, blocked float64
		if _, err := fmt.Sscan(strings.Join(m[2:], " "), &busy, &starved, &blocked); err != nil {
			t.Fatal(err)
		}
		if sum := busy + starved + blocked; math.Abs(sum-100) > 1.5 { // three roundings
			t.Errorf("%s: shares of %v %%", m[1], sum)
		}
		// Stages are looked at one after the other, in a time that may have a pause in it.
		elapsed := time.Duration(0)
		for _, s := range stages.Since(before.Pipeline, now.Pipeline).Stages {
			if s.Device == m[1] {
				elapsed = max(elapsed, s.Elapsed)
			}
		}
		if want := 100 * traced[m[1]] / elapsed.Seconds(); math.Abs(busy-want) > 2 {
			t.Errorf("%s: the view says busy %v %%, the trace %.1f %%", m[1], busy, want)
		}
	}
}

// workOf adds up the seconds in which each device worked.
func workOf(t *testing.T, rec *trace.Recorder) map[string]float64 {
	t.Helper()
	var buf bytes.Buffer
	if _, err := rec.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		TraceEvents []struct {
			Ph   string
			Dur  float64
			Args struct{ Device string }
		}
	}
	if err := json.Unmarshal(buf.Bytes(), &parsed); err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, x := range parsed.TraceEvents {
		if x.Ph == "X" && strings.HasPrefix(x.Args.Device, "cpu:") {
			sums[x.Args.Device] += x.Dur / 1e6
		}
	}
	return sums
}
