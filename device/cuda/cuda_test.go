//go:build cuda

package cuda

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/device/cuda/driver/fakedriver"
)

func open(text string) error {
	devs, err := device.OpenList(text)
	for _, d := range devs {
		d.Close()
	}
	return err
}

func TestNoDriver(t *testing.T) {
	if fakedriver.Process(t, "TRITFLOW_LIBCUDA=/nowhere/libcuda.so.1") {
		return
	}
	err := open("cuda:0")
	u, ok := errors.AsType[*device.UnavailableError](err)
	absent, cause := errors.AsType[*driver.AbsentError](err)
	if !ok || !cause || u.Device != "cuda:0" || absent.Library != "/nowhere/libcuda.so.1" || !device.Elsewhere(err) {
		t.Errorf("error %v", err)
	}
	lists, missing := device.Auto()
	if !slices.Equal(lists, []string{"cpu"}) || len(missing) != 1 || !strings.Contains(missing[0].Error(), "no NVIDIA driver") {
		t.Errorf("auto: %v, missing %v", lists, missing)
	}
	found, problems := device.Survey(t.Context(), true)
	if len(found) != 0 || problems["cuda"] == nil {
		t.Errorf("survey: %v, problems %v", found, problems)
	}
}

func TestUnusableDevices(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_DEVICES=2", "FAKE_CAPABILITY=61") {
		return
	}
	for _, spec := range []string{"cuda:2", "cuda:-1", "cuda:x", "cuda:0:1"} {
		if _, ok := errors.AsType[*device.SpecError](open(spec)); !ok {
			t.Errorf("%s: error %v", spec, open(spec))
		}
	}
	if u, ok := errors.AsType[*device.UnavailableError](open("cuda:1")); !ok || u.Device != "cuda:1" || !strings.Contains(u.Reason, "6.1") {
		t.Errorf("error %v", open("cuda:1"))
	}
	lists, missing := device.Auto()
	if !slices.Equal(lists, []string{"cpu"}) || len(missing) != 1 || !strings.Contains(missing[0].Error(), "cuda:0") || !strings.Contains(missing[0].Error(), "cuda:1") {
		t.Errorf("auto: %v, missing %v", lists, missing)
	}
	found, problems := device.Survey(t.Context(), true)
	if len(found) != 2 || len(problems) != 0 || found[1].Model != "Fake 1" || !strings.Contains(found[1].Problem, "6.1") || found[1].Read != 0 {
		t.Errorf("survey: %+v, problems %v", found, problems)
	}
}

func TestAutoTakesOneThenAll(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_DEVICES=3") {
		return
	}
	lists, missing := device.Auto()
	if !slices.Equal(lists, []string{"cuda:0", "cuda:0,cuda:1,cuda:2", "cpu"}) || len(missing) != 0 {
		t.Errorf("auto: %v, missing %v", lists, missing)
	}
}

func TestDeviceNames(t *testing.T) {
	seen := map[string]bool{}
	for index, ordinal := range []int{0, 0, 1, 0, 4} {
		name := deviceName(ordinal, index)
		if seen[name] || !strings.HasPrefix(name, "cuda:") {
			t.Errorf("device %d, GPU %d: name %s", index, ordinal, name)
		}
		seen[name] = true
	}
	if !seen["cuda:0"] || !seen["cuda:4"] {
		t.Errorf("names %v", seen)
	}
}

func TestSurveyMeasures(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=100000000") {
		return
	}
	found, problems := device.Survey(t.Context(), true)
	if len(found) != 1 || len(problems) != 0 {
		t.Fatalf("%+v, problems %v", found, problems)
	}
	f := found[0]
	// 64 MiB is the largest buffer that fits; a try takes 1.5 ms, whatever it is.
	if f.Problem != "" || f.Read != (64<<20)/1.5e-3 || f.Copy != f.Read || f.Int8 != 2*132*(1<<24)*(1<<20)/1.5e-3 ||
		f.Free != 1e8 || f.Memory != 1e8 || f.Driver != "CUDA 13.0" || f.Capability != "9.0" || f.Units != 132 {
		t.Errorf("%+v", f)
	}
	quick, _ := device.Survey(t.Context(), false)
	if quick[0].Read != 0 || quick[0].Free != 1e8 {
		t.Errorf("not measured: %+v (memory must have been given back)", quick[0])
	}
}

func TestSurveyFailures(t *testing.T) {
	for _, c := range []struct{ name, env, memory, want string }{
		{"memory", "", "1000", "measuring needs 16 MiB"},
		{"fault", "cuLaunchKernel=719", "100000000", "CUDA_ERROR_LAUNCH_FAILED"},
		{"context", "cuDevicePrimaryCtxRetain=2", "100000000", "out of memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if fakedriver.Elsewhere(t, "FAKE_FAIL="+c.env, "FAKE_MEMORY="+c.memory) {
				return
			}
			found, problems := device.Survey(t.Context(), true)
			if len(found) != 1 || len(problems) != 0 || !strings.Contains(found[0].Problem, c.want) {
				t.Errorf("%+v, problems %v", found, problems)
			}
		})
	}
}

func TestSurveyIsInterrupted(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=100000000") {
		return
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, problems := device.Survey(ctx, true); !errors.Is(problems["cuda"], why) {
		t.Errorf("problems %v", problems)
	}
}

// A cubin that the driver does not take is no reason not to run.
func TestLoadFallsBackToPTX(t *testing.T) {
	for _, c := range []struct{ name, env, target string }{
		{"taken", "FAKE_REFUSE=0", "sm_90a"},
		{"no binary", "FAKE_REFUSE=209", "compute_80"},
		{"old format", "FAKE_REFUSE=200", "compute_80"},
		{"memory", "FAKE_REFUSE=2", ""},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			if fakedriver.Elsewhere(t, c.env) {
				return
			}
			runtime.LockOSThread()
			if err := driver.Available(); err != nil {
				t.Fatal(err)
			}
			ctx, err := driver.Retain(0)
			if err != nil {
				t.Fatal(err)
			}
			p, err := describe(0)
			if err != nil {
				t.Fatal(err)
			}
			_, target, err := loadModule(ctx, p, "probe")
			if target != c.target || (err == nil) != (target != "") {
				t.Errorf("target %q, error %v", target, err)
			}
			if target == "" && !errors.Is(err, driver.ErrOutOfMemory) {
				t.Errorf("error %v", err)
			}
			if _, _, err := loadModule(ctx, p, "nothing"); err == nil {
				t.Error("kernels that do not exist were loaded")
			}
		})
	}
}

// Failures of the driver become errors of package device that say what was lost.
func TestErrors(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=1000") {
		return
	}
	runtime.LockOSThread()
	ctx, err := driver.Retain(0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ctx.Alloc(5000)
	full, ok := errors.AsType[*device.MemoryError](asMemory(ctx, "cuda:0", "KV pages", 5000, err))
	if !ok || full.Need != 5000 || full.Free != 1000 || full.What != "KV pages" || !errors.Is(full, driver.ErrOutOfMemory) {
		t.Errorf("error %v", full)
	}
	fault := &driver.Error{Call: "cuStreamSynchronize", Code: driver.ErrIllegalAddress, Device: 0}
	for _, err := range []error{asLost("cuda:0", "blocks 0-5", fault), asMemory(ctx, "cuda:0", "weights", 1, fault)} {
		if e, ok := errors.AsType[*device.LostError](err); !ok || !errors.Is(e, driver.ErrIllegalAddress) || e.Device != "cuda:0" {
			t.Errorf("error %v", err)
		}
	}
	other := &driver.Error{Code: driver.ErrInvalidValue}
	if got := asLost("cuda:0", "", other); got != error(other) {
		t.Errorf("error %v", got)
	}
}
