package stages

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tritflow/stages/trace"
)

// TestSharesAddUp: with a clock that is exact, the shares of every stage and
// device add up to 1, busy is what the trace says, and the advice names the
// slowest device.
func TestSharesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := trace.New()
		devs := equalDevices(3)
		devs[1].speed = 0.25
		s := simulate(t, devs, []int{2, 2, 2}, func(l *limits) { l.maxSeqs = 12 })
		for _, r := range s.pipe.rings {
			for _, g := range r.stages {
				g.rec = rec // nothing is under way yet
			}
		}
		var streams []*Stream
		for i := range 12 {
			streams = append(streams, must(s.submit(context.Background(), Request{Tokens: prompt(i, 20), MaxTokens: 50})))
		}
		time.Sleep(200*time.Millisecond + 100*time.Microsecond) // in the middle of it
		middle := s.pipe.stats()
		outcomes(streams)
		end := s.pipe.stats()
		if err := s.pipe.shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		for _, st := range []Stats{middle, end, Since(middle, end)} {
			for _, g := range st.Stages {
				sum := g.Shares.Busy + g.Shares.Wait + g.Shares.Starved + g.Shares.Blocked
				if math.Abs(sum-1) > 1e-9 || min(g.Shares.Busy, g.Shares.Wait, g.Shares.Starved, g.Shares.Blocked) < 0 {
					t.Errorf("%s: %+v add up to %v", g.Name, g.Shares, sum)
				}
			}
			if len(st.Devices) != 3 {
				t.Fatalf("%+v", st.Devices)
			}
			for _, d := range st.Devices {
				if sum := d.Shares.Busy + d.Shares.Starved + d.Shares.Blocked; math.Abs(sum-1) > 1e-9 || d.Shares.Wait != 0 {
					t.Errorf("%s: %+v add up to %v", d.Device, d.Shares, sum)
				}
			}
		}
		for _, g := range end.Stages {
			if out := g.Busy + g.DeviceWait + g.Starved + g.Blocked; out != g.Elapsed {
				t.Errorf("%s: %v are accounted for of %v", g.Name, out, g.Elapsed)
			}
		}
		busy := traced(t, rec)
		for i, g := range end.Stages {
			if math.Abs(busy[i]-g.Busy.Seconds()) > 1e-6 {
				t.Errorf("%s: busy for %v, the trace says %v s", g.Name, g.Busy, busy[i])
			}
		}
		if a := Advice(middle, end); !strings.Contains(a, "sim:1 is the bottleneck") {
			t.Errorf("advice: %s", a)
		}
		if a := Advice(Stats{}, Stats{}); a != "nothing to do" {
			t.Errorf("advice: %s", a)
		}
		if end.Tokens != 12*50 || end.Ended != 12 || end.Rows != 12*(20+49) {
			t.Errorf("%+v", end)
		}
	})
}

// traced adds up the work of each track, in seconds.
func traced(t *testing.T, rec *trace.Recorder) map[int]float64 {
	t.Helper()
	var buf bytes.Buffer
	if _, err := rec.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		TraceEvents []struct {
			Ph  string
			TID int
			Dur float64
		}
	}
	if err := json.Unmarshal(buf.Bytes(), &parsed); err != nil {
		t.Fatal(err)
	}
	busy := map[int]float64{}
	for _, e := range parsed.TraceEvents {
		if e.Ph == "X" {
			busy[e.TID] += e.Dur / 1e6
		}
	}
	return busy
}

// TestSince: of every counter it tells the difference.
func TestSince(t *testing.T) {
	var before, now Stats
	counters := 0
	for i := range reflect.TypeFor[Stats]().NumField() {
		if f := reflect.ValueOf(&now).Elem().Field(i); f.Kind() == reflect.Uint64 {
			counters++
			f.SetUint(5)
			reflect.ValueOf(&before).Elem().Field(i).SetUint(3)
		}
	}
	d := reflect.ValueOf(Since(before, now))
	for i := range d.NumField() {
		if f := d.Field(i); f.Kind() == reflect.Uint64 && f.Uint() != 2 {
			t.Errorf("%s: %d of 5 since there were 3", d.Type().Field(i).Name, f.Uint())
		}
	}
	if counters == 0 {
		t.Error("there are no counters")
	}
}

func TestAdviceOnFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulate(t, equalDevices(4), ones(4), nil)
		st := must(s.submit(context.Background(), Request{Tokens: prompt(1, 1), MaxTokens: 500}))
		time.Sleep(100 * time.Millisecond)
		if a := Advice(Stats{}, s.pipe.stats()); !strings.Contains(a, "1 requests are not enough for 4 steps") {
			t.Errorf("advice: %s", a)
		}
		if st.Err() != nil || s.pipe.shutdown(context.Background()) != nil {
			t.Error("it did not end well")
		}
	})
}

// TestPrometheus: every line is a comment or a sample, and what counts is there.
func TestPrometheus(t *testing.T) {
	e := openBuiltin(t, Options{Devices: "cpu:1,cpu:1"})
	s, err := e.Submit(context.Background(), Request{Prompt: "Once upon a time", MaxTokens: 5})
	if err != nil {
		t.Fatal(err)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	var buf bytes.Buffer
	snap := e.Snapshot()
	if err := snap.WritePrometheus(&buf); err != nil {
		t.Fatal(err)
	}
	sample := regexp.MustCompile(`^tritflow_[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$`)
	for line := range strings.Lines(buf.String()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "# ") && !sample.MatchString(line) {
			t.Errorf("not a sample: %s", line)
		}
	}
	for _, want := range []string{
		"tritflow_tokens_total 5\n", "tritflow_requests_ended_total 1\n", "tritflow_kv_pages_used 0\n",
		`tritflow_stage_seconds_total{stage="head",device="cpu:1",replica="0",state="busy"} `,
		`tritflow_device_memory_bytes{device="cpu:0",use="kv"} `,
	} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("without %q:\n%s", want, buf.String())
		}
	}
}
