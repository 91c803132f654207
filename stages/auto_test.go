package stages

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"tritflow/device"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
)

// accelerator is a CPU device that passes for another kind and fails as told.
type accelerator struct {
	device.Device
	kind *acceleratorKind
	arg  string
}

// acceleratorKind is what the test says of the kind "acc".
type acceleratorKind struct {
	list    []string
	missing error
	open    map[string]error // by argument
	load    map[string]error
	memory  uint64
	pool    string
	copies  uint64 // what it says that its copies take, beside the weights
	rows    int
	kv      []string // nil: as the CPU
	opened  []string
	closed  int
}

func (a *accelerator) Info() device.Info {
	i := a.Device.Info()
	i.Name, i.Kind, i.Memory, i.Rows, i.Pool = "acc:"+a.arg, "acc", a.kind.memory, a.kind.rows, a.kind.pool
	if a.kind.kv != nil {
		i.KVTypes = a.kind.kv
	}
	return i
}

func (a *accelerator) LoadHead(ctx context.Context, h *graph.Head) (device.Head, error) {
	if err := a.kind.load[a.arg]; err != nil {
		return nil, err
	}
	return a.Device.LoadHead(ctx, h)
}

func (a *accelerator) Estimate(device.Part, device.Sizes) (device.Footprint, error) {
	return device.Footprint{Copies: a.kind.copies}, nil
}

func (a *accelerator) Close() error {
	a.kind.closed++
	return a.Device.Close()
}

// withAccelerators registers the kind for one test.
func withAccelerators(t *testing.T, k *acceleratorKind) {
	device.Register("acc", func(s device.Spec, _ int) (device.Device, error) {
		k.opened = append(k.opened, s.Arg)
		if err := k.open[s.Arg]; err != nil {
			return nil, err
		}
		devs, err := device.OpenList("cpu:1")
		if err != nil {
			return nil, err
		}
		return &accelerator{devs[0], k, s.Arg}, nil
	})
	device.RegisterFinder("acc", func() ([]string, error) { return k.list, k.missing })
	t.Cleanup(func() { device.RegisterFinder("acc", func() ([]string, error) { return nil, nil }) })
}

func TestAuto(t *testing.T) {
	full := &device.MemoryError{Device: "acc:0", What: "weights"}
	broken := &device.UnavailableError{Device: "acc:0", Reason: "it is broken"}
	for _, c := range []struct {
		name    string
		kind    acceleratorKind
		strict  bool
		devices []string // that hold the model in the end; nil: an error
		opened  []string
		told    []string // on the log or in the error
	}{
		{"works", acceleratorKind{list: []string{"acc:0", "acc:1"}}, false, []string{"acc:0"}, []string{"0"}, nil},
		{"none", acceleratorKind{missing: broken}, false, []string{"cpu:0"}, nil, []string{"running on the CPU", "it is broken"}},
		{"none, strict", acceleratorKind{missing: broken}, true, nil, nil, []string{"it is broken", "only the CPU is left"}},
		{"does not open", acceleratorKind{list: []string{"acc:0"}, open: map[string]error{"0": broken}}, false,
			[]string{"cpu:0"}, []string{"0"}, []string{"trying cpu instead of acc:0", "it is broken"}},
		{"does not open, strict", acceleratorKind{list: []string{"acc:0"}, open: map[string]error{"0": broken}}, true,
			nil, []string{"0"}, []string{"it is broken"}},
		{"full, both do", acceleratorKind{list: []string{"acc:0", "acc:1"}, load: map[string]error{"0": full}}, false,
			[]string{"acc:0", "acc:1"}, []string{"0", "0", "1"}, []string{"trying acc:0,acc:1 instead of acc:0", "no room for weights"}},
		{"too small", acceleratorKind{list: []string{"acc:0"}, memory: 1000}, false,
			[]string{"cpu:0"}, []string{"0"}, []string{"trying cpu instead of acc:0", "acc:0 cannot hold"}},
		{"too small for its copies", acceleratorKind{list: []string{"acc:0"}, memory: 64 << 20, copies: 64 << 20}, false,
			[]string{"cpu:0"}, []string{"0"}, []string{"trying cpu instead of acc:0", "acc:0: 78 MiB are needed"}},
		{"another error", acceleratorKind{list: []string{"acc:0"}, load: map[string]error{"0": errFake}}, false,
			nil, []string{"0"}, []string{errFake.Error()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &c.kind
			withAccelerators(t, k)
			var log bytes.Buffer
			e, err := Open(t.Context(), "", Options{Strict: c.strict, Log: zerolog.New(&log)})
			told := log.String()
			if err != nil {
				told += err.Error()
			}
			for _, want := range c.told {
				if !strings.Contains(told, want) {
					t.Errorf("no %q in %s", want, told)
				}
			}
			if c.told == nil && strings.Contains(told, "warn") {
				t.Errorf("it complains: %s", told)
			}
			if !slices.Equal(k.opened, c.opened) {
				t.Errorf("opened %v, want %v", k.opened, c.opened)
			}
			if (err == nil) != (c.devices != nil) {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				var names []string
				for _, d := range e.Devices() {
					names = append(names, d.Info().Name)
				}
				if !slices.Equal(names, c.devices) {
					t.Errorf("devices %v, want %v", names, c.devices)
				}
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}
			if want := len(c.opened) - len(k.open); k.closed != want {
				t.Errorf("%d of %d devices were closed", k.closed, want)
			}
		})
	}
}

// A type of cache that an accelerator lacks is a reason to take the CPU, unless the accelerator was named.
func TestAutoKV(t *testing.T) {
	k := &acceleratorKind{list: []string{"acc:0"}, kv: []string{"f16", "f32"}}
	withAccelerators(t, k)
	var log bytes.Buffer
	e, err := Open(t.Context(), "", Options{KV: "q8_0", Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	if name := e.Devices()[0].Info().Name; name != "cpu:0" || !strings.Contains(log.String(), "trying cpu instead of acc:0") {
		t.Errorf("on %s, log %s", name, &log)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	_, err = Open(t.Context(), "", Options{KV: "q8_0", Devices: "acc:0"})
	if e, ok := errors.AsType[*device.KVError](err); !ok || e.Device != "acc:0" || !strings.Contains(e.Reason, "f16, f32; ") {
		t.Errorf("named: error %v", err)
	}
	if k.closed != 2 {
		t.Errorf("%d devices were closed", k.closed)
	}
}

// TestPlanAuto: a plan is for the devices that Open would take, with Steps as
// large as they ask for.
func TestPlanAuto(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   acceleratorKind
		opt    Options
		device string
		chunk  int
	}{
		{"taken", acceleratorKind{list: []string{"acc:0"}, rows: 1000}, Options{}, "acc:0", 1000},
		{"no wish", acceleratorKind{list: []string{"acc:0"}}, Options{}, "acc:0", defaultChunk},
		{"chunk given", acceleratorKind{list: []string{"acc:0"}, rows: 1000}, Options{Chunk: 7}, "acc:0", 7},
		{"never so many", acceleratorKind{list: []string{"acc:0"}, rows: 1000}, Options{Ctx: 64, MaxSeqs: 2}, "acc:0", 128},
		{"beside a CPU", acceleratorKind{rows: 1000}, Options{Devices: "cpu:1,acc:0"}, "cpu:0", 1000},
		{"too small", acceleratorKind{list: []string{"acc:0"}, memory: 1000, rows: 1000}, Options{}, "cpu:0", defaultChunk},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &c.kind
			withAccelerators(t, k)
			l, _, err := Plan(t.Context(), gguftest.Open(t, ""), c.opt, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Memory.Devices[0].Device; got != c.device || l.Chunk != c.chunk {
				t.Errorf("on %s with %d rows, want %s with %d", got, l.Chunk, c.device, c.chunk)
			}
			if k.closed != len(k.opened) {
				t.Errorf("%d of %d devices were closed", k.closed, len(k.opened))
			}
		})
	}
}

// A device that was named is not replaced.
func TestNamedDevicesAreNotReplaced(t *testing.T) {
	k := &acceleratorKind{open: map[string]error{"0": &device.UnavailableError{Device: "acc:0", Reason: "it is broken"}}}
	withAccelerators(t, k)
	e, err := Open(t.Context(), "", Options{Devices: "acc:0"})
	if _, ok := errors.AsType[*device.UnavailableError](err); !ok || e != nil {
		t.Errorf("error %v", err)
	}
	e, err = Open(t.Context(), "", Options{Devices: "cpu:1", Strict: true})
	if err != nil {
		t.Fatalf("strict does not rule out a CPU that was named: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
