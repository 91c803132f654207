//go:build cuda

package cuda

import (
	"errors"
	"testing"

	"tritflow/device/cuda/driver"
	"tritflow/device/cuda/driver/fakedriver"
)

// Whichever call of a copy between GPUs fails: somebody is told, and no event is lost.
func TestImportFails(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_MEMORY=8589934592", "FAKE_DEVICES=2") {
		return
	}
	var two [2]*gpu
	for i := range two {
		props, err := driver.Describe(i)
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDevice(deviceName(i, i), props)
		if err != nil {
			t.Fatal(err)
		}
		two[i] = d.(*gpu)
		defer d.Close()
	}
	bring := func() error {
		h, err := two[0].newHidden(2, 8)
		if err != nil {
			t.Fatal(err)
		}
		x, err := two[1].Import(t.Context(), h)
		if err != nil {
			return err
		}
		defer x.Release()
		return x.Host(make([]float32, 16))
	}
	// Copies through the host do without this one.
	failNth(t, "cuCtxEnablePeerAccess", 1)
	if err := bring(); err != nil { // memory is there from now on
		t.Fatal(err)
	}
	before := two[0].freeNow(t)
	for call, times := range map[string]int{"cuEventCreate": 2, "cuEventRecord": 2, "cuStreamWaitEvent": 2, "cuMemcpyPeerAsync": 1} {
		for n := 1; n <= times; n++ {
			failNth(t, call, n)
			if err := bring(); !errors.Is(err, driver.ErrOutOfMemory) {
				t.Errorf("%s %d: error %v", call, n, err)
			}
			failNth(t, "", 0)
			if left := before - two[0].freeNow(t); left != 0 {
				t.Errorf("%s %d: %d left behind", call, n, left)
				before -= left
			}
		}
	}
}
