package stages

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"tritflow/graph"
	"tritflow/stages/profile"
)

// TestMemoryPromise: a small limit leaves fewer pages, at last none, and then
// says what is needed; the ledger stays below the plan with every page in use.
func TestMemoryPromise(t *testing.T) {
	full := openBuiltin(t, Options{MaxSeqs: 8, Ctx: 256})
	want := full.Memory()
	if want.Pages != want.Wanted || want.Limit != 0 {
		t.Fatalf("%+v", want)
	}
	roomy := openBuiltin(t, Options{MaxSeqs: 8, Ctx: 256, MaxMemory: 44 << 20}).Memory()
	limit := roomy.Host - roomy.Devices[0].KV/2
	e := openBuiltin(t, Options{MaxSeqs: 8, Ctx: 256, MaxMemory: limit})
	m := e.Memory()
	if m.Host > limit || m.Pages <= 256/pageSize || m.Pages >= m.Wanted {
		t.Fatalf("%d pages of %d in %d bytes of %d", m.Pages, m.Wanted, m.Host, limit)
	}
	// Eight answers for which there are not pages enough.
	var streams []*Stream
	for i := range 8 {
		s, err := e.Submit(context.Background(), Request{Tokens: prompt(i, 40), MaxTokens: 150, IgnoreEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for i, o := range outcomes(streams) {
		if raceEnabled && i > 1 {
			continue
		}
		alone, err := full.Submit(context.Background(), Request{Tokens: prompt(i, 40), MaxTokens: 150, IgnoreEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		if want := alone.Result().Tokens; o.err != nil || !slices.Equal(o.ids, want) {
			t.Errorf("request %d: %v, %v; want %v", i, o.err, o.ids, want)
		}
	}
	if e.Stats().Preemptions == 0 {
		t.Error("nobody was preempted")
	}
	used := e.Memory().Devices[0]
	if peak := used.Used.Peak; peak["kv"] > int64(used.KV) || peak["activations"] > int64(used.Activations) ||
		peak["mapped"] > int64(used.Weights) || peak["weights"] > int64(used.Copies+used.Screening) {
		t.Errorf("planned %+v", used)
	}
	if peak := used.Used.Peak["kv"]; peak < int64(used.KV)*9/10 {
		t.Errorf("only %d bytes of %d pages were used", peak, used.KV)
	}

	_, err := Open(context.Background(), "", Options{Ctx: 256, MaxMemory: want.Program})
	var me *MemoryError
	var ge *graph.MemoryError
	if !errors.As(err, &me) && !errors.As(err, &ge) {
		t.Errorf("too little: %v", err)
	}
	if me != nil && (me.Needed <= me.Limit || me.Limit != want.Program || me.What != hostMemory) {
		t.Errorf("%+v", me)
	}
	_, err = Open(context.Background(), "", Options{Ctx: 256, DeviceMemory: map[string]uint64{"cpu:0": 1 << 20}})
	if !errors.As(err, &me) && !errors.As(err, &ge) {
		t.Errorf("too little on the device: %v", err)
	}
	for _, o := range []Options{{Replicas: 2}, {Replicas: -1}, {Waves: -1}, {PromptRows: -1}, {PromptRows: math.NaN()}, {PromptRows: math.Inf(1)}, {DeviceMemory: map[string]uint64{"gpu": 1}}} {
		if _, err := Open(context.Background(), "", o); !errors.As(err, new(*OptionError)) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestMemoryErrorTellsForHowMany: only where less was allowed than there is, the pages that do
// not fit are those of one sequence.
func TestMemoryErrorTellsForHowMany(t *testing.T) {
	for _, c := range []struct {
		memory, allowed uint64
		alone           bool
	}{{64 << 20, 0, false}, {1 << 30, 64 << 20, true}} {
		withAccelerators(t, &acceleratorKind{memory: c.memory, copies: 64 << 20})
		o := Options{Devices: "acc:0"}
		if c.allowed > 0 {
			o.DeviceMemory = map[string]uint64{"acc:0": c.allowed}
		}
		_, err := Open(t.Context(), "", o)
		me, ok := errors.AsType[*MemoryError](err)
		if !ok || strings.Contains(err.Error(), "one sequence alone") != c.alone || (me.Memory.Pages < me.Memory.Wanted) != c.alone {
			t.Errorf("%d bytes, %d allowed: %v", c.memory, c.allowed, err)
		}
	}
}

// TestMemoryOfOnePool: devices that take from the same memory must fit it together.
func TestMemoryOfOnePool(t *testing.T) {
	const memory, copies = 160 << 20, 100 << 20
	for _, c := range []struct {
		devices, pool string
		fits          bool
	}{{"acc:0,acc:1", "", true}, {"acc:0", "the memory of GPU 0", true}, {"acc:0,acc:1", "the memory of GPU 0", false}} {
		withAccelerators(t, &acceleratorKind{memory: memory, copies: copies, pool: c.pool})
		e, err := Open(t.Context(), "", Options{Devices: c.devices, Ctx: 256, MaxSeqs: 4})
		if err == nil {
			e.Close()
		}
		if c.fits {
			if err != nil {
				t.Errorf("%s of %q: %v", c.devices, c.pool, err)
			}
			continue
		}
		me, ok := errors.AsType[*MemoryError](err)
		if !ok || me.What != c.pool || me.Limit != memory || me.Needed < 2*copies || !strings.Contains(err.Error(), c.pool) {
			t.Errorf("%s of %q: %v", c.devices, c.pool, err)
		}
	}
}

// TestMemoryOfHugeSteps: a plan is for the rows that there can be, however many a Step may
// carry, and its sums do not overflow.
func TestMemoryOfHugeSteps(t *testing.T) {
	most := openBuiltin(t, Options{Devices: "cpu:1", MaxSeqs: 2, Ctx: 64, Chunk: 128, Waves: 128}).Layout()
	for _, o := range []Options{{Chunk: math.MaxInt, Waves: math.MaxInt}, {Chunk: 1 << 40, Waves: 1 << 40}} {
		o.Devices, o.MaxSeqs, o.Ctx = "cpu:1", 2, 64
		l := openBuiltin(t, o).Layout()
		if l.Chunk != most.Chunk || l.Waves != most.Waves || l.Memory.Devices[0].Activations != most.Memory.Devices[0].Activations {
			t.Errorf("%d rows, %d waves, %+v; want %+v", l.Chunk, l.Waves, l.Memory, most.Memory)
		}
	}
}

// TestReplicas: two rings behind one queue answer as one does, and both work.
func TestReplicas(t *testing.T) {
	one := openBuiltin(t, Options{Devices: "cpu:1", MaxSeqs: 12})
	two := openBuiltin(t, Options{Devices: "cpu:1,cpu:1", Replicas: 2, MaxSeqs: 2})
	if l := two.Layout(); len(l.Replicas) != 2 || l.Waves != 1 || two.Memory().Shared == 0 {
		t.Errorf("%+v", l)
	}
	var streams, alone []*Stream
	for i := range 12 {
		for _, to := range []struct {
			e    *Engine
			list *[]*Stream
		}{{one, &alone}, {two, &streams}} {
			s, err := to.e.Submit(context.Background(), Request{Tokens: prompt(i, 10), MaxTokens: 20, IgnoreEOS: true})
			if err != nil {
				t.Fatal(err)
			}
			*to.list = append(*to.list, s)
		}
	}
	want := outcomes(alone)
	for i, o := range outcomes(streams) {
		if o.err != nil || !slices.Equal(o.ids, want[i].ids) {
			t.Errorf("request %d: %v, %v; want %v", i, o.ids, o.err, want[i].ids)
		}
	}
	var steps [2]uint64
	for _, s := range two.Stats().Stages {
		steps[s.Replica] += s.Steps
	}
	if steps[0] == 0 || steps[1] == 0 {
		t.Errorf("steps of the replicas: %v", steps)
	}
	if err := two.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestMeasuringKeepsThePromise: where measuring would take more than was allowed, or only
// what is kept is asked for, the devices are not measured; with room for it they are.
func TestMeasuringKeepsThePromise(t *testing.T) {
	opt := Options{MaxSeqs: 3, Ctx: 100, Devices: "cpu:1,cpu:1", MaxMemory: 70 << 20, Profiles: &profile.Store{Dir: t.TempDir()}}
	has := func(e *Engine) bool { return opt.Profiles.Has(e.model, e.devices, "f16") }
	for i, d := range openBuiltin(t, opt).Memory().Devices {
		if peak := d.Used.Peak; peak["kv"] > int64(d.KV) || peak["activations"] > int64(d.Activations) {
			t.Errorf("device %d: planned %+v", i, d)
		}
	}
	opt.MaxMemory = 0
	opt.Profiles.Kept = true
	if has(openBuiltin(t, opt)) {
		t.Error("measured, though only what is kept was asked for")
	}
	opt.MaxMemory, opt.Profiles.Kept = 4<<30, false
	if !has(openBuiltin(t, opt)) {
		t.Error("with room for it nothing is measured")
	}
}
