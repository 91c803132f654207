package cpu

import (
	"errors"
	"runtime"
	"testing"

	"tritflow/device"
	"tritflow/quantkern"
)

func TestOpen(t *testing.T) {
	for _, arg := range []string{"0", "-1", "x", "1025", "99999999999999999999", "2 ", "2.0", "+"} {
		_, err := Open(device.Spec{Text: "cpu:" + arg, Kind: "cpu", Arg: arg}, 0)
		if e, ok := errors.AsType[*device.SpecError](err); !ok || e.Spec != "cpu:"+arg {
			t.Errorf("cpu:%s: error %v", arg, err)
		}
	}
	devs, err := device.OpenList("cpu,cpu:5")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devs {
		defer func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	first, second := devs[0].Info(), devs[1].Info()
	if first.Name != "cpu:0" || second.Name != "cpu:1" || second.Workers != 5 {
		t.Errorf("opened %+v and %+v", first, second)
	}
	if n := first.Workers; n < 1 || n > runtime.GOMAXPROCS(0) {
		t.Errorf("%d workers by default, %d may run", n, runtime.GOMAXPROCS(0))
	}
	if tier, err := quantkern.Tier(); err != nil || first.Kind != "cpu" || first.Model == "" || first.Tier != tier || !first.HostMemory || first.FuseBlocks {
		t.Errorf("info %+v", first)
	}
	if runtime.GOOS == "linux" && first.Memory < 64<<20 {
		t.Errorf("%d bytes of memory", first.Memory)
	}
}

func TestDefaultWorkersFollowGOMAXPROCS(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	if n := defaultWorkers(); n != 1 {
		t.Errorf("%d workers where one thread may run", n)
	}
}
