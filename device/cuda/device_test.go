//go:build cuda

package cuda

import (
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/device/devtest"
)

// openGPU opens the first GPU; tests that need one are skipped where there is none.
func openGPU(t testing.TB) device.Device {
	t.Helper()
	if err := driver.Available(); err != nil {
		t.Skip("needs an NVIDIA GPU: ", err)
	}
	d, err := Open(device.Spec{Text: "cuda:0", Kind: "cuda", Arg: "0"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestConformance(t *testing.T) {
	openGPU(t).Close()
	devtest.Run(t, openGPU, devtest.Within(1e-3))
}
