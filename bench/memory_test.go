package bench

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"tritflow/device"
	"tritflow/stages"
)

// TestMeasureMemory: every phase uses more than the one before, the pages of all requests
// are full at the end, and all of it is within the plan.
func TestMeasureMemory(t *testing.T) {
	loaded := false
	r, err := MeasureMemory(t.Context(), MemoryOptions{
		Engine: stages.Options{Devices: "cpu:2", MaxSeqs: 3, Ctx: 256, Log: zerolog.Nop()},
		Loaded: func(m stages.Memory) { loaded = m.Host > 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Phases) != 4 || r.Requests != 3 || r.Ctx != 256 || !loaded {
		t.Fatalf("%+v", r)
	}
	for _, p := range r.Problems {
		if !strings.HasPrefix(p, "resident") { // which other tests are part of
			t.Error(p)
		}
	}
	kv := int64(-1)
	for _, p := range r.Phases {
		if p.Name != "decode" && p.Ledger[0].Now["kv"] <= kv {
			t.Errorf("%s: the cache has %d bytes, before %d", p.Name, p.Ledger[0].Now["kv"], kv)
		}
		kv = p.Ledger[0].Now["kv"]
	}
	if uint64(kv) != r.Plan.Devices[0].KV {
		t.Errorf("the cache has %d bytes when all contexts are full, planned are %d", kv, r.Plan.Devices[0].KV)
	}
	if last := r.Phases[3]; last.Tokens != 3*256 {
		t.Errorf("%d tokens in the last phase", last.Tokens)
	}
}

// TestMemoryJudge names what is above plan and promise, not what is 5 % above.
func TestMemoryJudge(t *testing.T) {
	usage := func(kv int64) device.Usage {
		return device.Usage{Now: map[string]int64{"kv": kv, "mapped": 500}, Peak: map[string]int64{"kv": kv}}
	}
	for _, c := range []struct {
		peak, limit uint64
		kv          int64
		want        []string
	}{
		{1049, 0, 104, nil},
		{1051, 0, 100, []string{"resident memory:"}},
		{1000, 900, 100, []string{"against the promise"}},
		{500, 900, 106, []string{"KV cache of cpu:0"}},
		{500, 900, 700, []string{"ledger of cpu:0", "KV cache"}},
	} {
		r := &MemoryReport{
			Peak: c.peak, Phases: []MemoryPhase{{Ledger: []device.Usage{usage(c.kv)}}},
			Plan: stages.Memory{Host: 1000, Limit: c.limit, Devices: []stages.DeviceMemory{{Device: "cpu:0", Weights: 500, KV: 100, Activations: 300}}},
		}
		r.judge()
		if len(r.Problems) != len(c.want) {
			t.Errorf("%+v: %q", c, r.Problems)
			continue
		}
		for i, w := range c.want {
			if !strings.Contains(r.Problems[i], w) {
				t.Errorf("%+v: %q", c, r.Problems)
			}
		}
	}
}
