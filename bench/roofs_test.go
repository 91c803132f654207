package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"tritflow/device"
)

// slab is a processor's device that passes for an accelerator with limits of its own.
type slab struct {
	device.Device
	name string
	roof device.Roof
	err  error
}

// slabs says what the next ones are; measured counts.
var slabs struct {
	roof     device.Roof
	err      error
	measured int
}

func init() {
	device.Register("slab", func(s device.Spec, _ int) (device.Device, error) {
		devs, err := device.OpenList("cpu:1")
		if err != nil {
			return nil, err
		}
		return slab{devs[0], s.Text, slabs.roof, slabs.err}, nil
	})
}

func (s slab) Info() device.Info {
	i := s.Device.Info()
	i.Kind, i.Name, i.Model, i.Workers = "slab", s.name, "Slab 9000", 0
	return i
}

func (s slab) Hardware() string { return "slab:0" }

func (s slab) Roof(context.Context) (device.Roof, error) {
	slabs.measured++
	return s.roof, s.err
}

func (s slab) ReadBytes(l device.Layer) (uint64, error) { return uint64(len(l.Weight.Data)), nil }

// runOn measures on devices, slabs being as given.
func runOn(t *testing.T, devices string, roof device.Roof, err error) *Report {
	t.Helper()
	slabs.roof, slabs.err, slabs.measured = roof, err, 0
	opt := quick("decode", "prefill", "batch")
	opt.Engine.Devices = devices
	r, rerr := Run(t.Context(), opt)
	if rerr != nil {
		t.Fatal(rerr)
	}
	if slabs.measured != 1 {
		t.Errorf("the hardware of %s was measured %d times", devices, slabs.measured)
	}
	checkTexts(t, r)
	return r
}

// TestLimitsOfOtherDevices: they are measured once, told, and bound what runs there.
func TestLimitsOfOtherDevices(t *testing.T) {
	roof := device.Roof{Read: 3e12, Int8: 2e15}
	for _, devices := range []string{"slab", "slab:a,slab:b", "cpu:1,slab"} {
		r := runOn(t, devices, roof, nil)
		if d := r.Machine.Devices; len(d) != 1 || d[0] != (DeviceRoof{"slab:0", "Slab 9000", 3000, 2000}) {
			t.Fatalf("%s: devices %+v", devices, d)
		}
		for _, x := range r.Results {
			if !(x.Limit > 0) || x.Fraction != Figure(x.TokS.Median/float64(x.Limit)) {
				t.Errorf("%s: %+v", devices, x)
			}
			if x.Name == "prefill" && devices == "slab" {
				near(t, "limit of prefill", float64(x.Limit), min(roof.Read/x.bytes, roof.Int8/x.ops))
			}
		}
		var table bytes.Buffer
		if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "Slab 9000, read 3000.0 GB/s, int8 2000 TOPS") {
			t.Errorf("%s: error %v\n%s", devices, err, table.String())
		}
		text, err := json.Marshal(r.Machine)
		if err != nil || !strings.HasSuffix(string(text), `"devices":[{"name":"slab:0","model":"Slab 9000","read_gbps":3000,"int8_tops":2000}]}`) {
			t.Errorf("%s: error %v, %s", devices, err, text)
		}
	}
}

// TestAgainst: the same work on other devices of the same run, each beside its own limit.
func TestAgainst(t *testing.T) {
	slabs.roof, slabs.err = device.Roof{Read: 3e12, Int8: 2e15}, nil
	opt := quick("decode", "prefill", "batch", "kernels")
	opt.Engine.Devices, opt.Engine.Split, opt.Against, opt.Batches = "cpu:1,cpu:1", []int{3, 3}, "slab", []int{2}
	r, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	checkTexts(t, r)
	c := r.Against
	if c.Devices != "slab" || len(c.Results) != 4 || len(c.Speedups) != 4 || len(r.Results) != 4 || len(r.Machine.Devices) != 1 {
		t.Fatalf("%+v, against %+v", r, c)
	}
	for i, s := range c.Speedups {
		a, b := r.Results[i], c.Results[i]
		if s.Name != a.Name || s.Name != b.Name || s.N != a.N || s.Times != a.TokS.Median/b.TokS.Median || b.Threads != 0 || a.Threads != 2 {
			t.Errorf("%+v is %+v against %+v", s, a, b)
		}
		if r.Machine.Cores < a.Threads && math.IsNaN(float64(a.Limit)) {
			continue // what so many threads could do at once was not measured
		}
		if !(b.Limit > 10*a.Limit) {
			t.Errorf("%s: limit %v against %v", s.Name, a.Limit, b.Limit)
		}
	}
	if len(r.Skipped) != 3 {
		t.Errorf("skipped %q", r.Skipped)
	}
	opt.Against = "abacus"
	if _, err := Run(t.Context(), opt); !isA[*OpenError](err) {
		t.Errorf("error %v, want an OpenError", err)
	}
}

// TestSpeedups compares all threads with all threads, and only what both sides have.
func TestSpeedups(t *testing.T) {
	result := func(name string, threads, n, context int, tokS float64) Result {
		return Result{Name: name, Threads: threads, N: n, Context: context, TokS: Spread{Median: tokS}}
	}
	got := speedups([]Result{
		result("decode", 0, 1, 0, 100), result("decode", 0, 1, 2048, 80), result("prefill", 0, 512, 0, 900),
	}, []Result{
		result("decode", 1, 1, 0, 5), result("decode", 2, 1, 0, 8), result("prefill", 2, 512, 0, 300), result("prefill", 2, 128, 0, 300),
	})
	if want := []Speedup{{"decode", 1, 0, 12.5}, {"prefill", 512, 0, 3}}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestRoofFails: the work is measured, without a limit, and why is told.
func TestRoofFails(t *testing.T) {
	r := runOn(t, "slab", device.Roof{}, errors.New("no room to measure"))
	if len(r.Skipped) == 0 || r.Skipped[0] != "limits of slab:0: no room to measure" {
		t.Errorf("skipped %q", r.Skipped)
	}
	for _, x := range r.Results {
		if text, err := x.Limit.MarshalJSON(); err != nil || string(text) != "null" || !(x.TokS.Median > 0) {
			t.Errorf("%+v", x)
		}
	}
}

func TestRoofIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	b := &bencher{report: &Report{}}
	if err := b.roofs(ctx, []device.Device{slab{err: why}}); !errors.Is(err, why) || len(b.report.Machine.Devices) != 0 {
		t.Errorf("error %v, devices %+v", err, b.report.Machine.Devices)
	}
}
