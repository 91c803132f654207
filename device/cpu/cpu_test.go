package cpu

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"tritflow/device"
	"tritflow/device/devtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the device that a spec's argument describes.
func open(t testing.TB, arg string) *cpuDevice {
	t.Helper()
	d, err := Open(device.Spec{Text: "cpu:" + arg, Kind: "cpu", Arg: arg}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d.(*cpuDevice)
}

// TestConformance runs the whole suite; with -short for one team only, which
// is what suits the slow race detector.
func TestConformance(t *testing.T) {
	teams := []int{1, 2, 3}
	if testing.Short() {
		teams = teams[2:]
	}
	for _, workers := range teams {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			devtest.Run(t, func(t testing.TB) device.Device { return open(t, fmt.Sprint(workers)) })
		})
	}
}
