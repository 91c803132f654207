//go:build cuda

package driver_test

import (
	"errors"
	"strings"
	"testing"

	"tritflow/device/cuda/driver"
	"tritflow/device/cuda/driver/fakedriver"
)

func TestNoDriver(t *testing.T) {
	if fakedriver.Process(t, "TRITFLOW_LIBCUDA=/nowhere/libcuda.so.1") {
		return
	}
	absent, ok := errors.AsType[*driver.AbsentError](driver.Available())
	if !ok || absent.Library != "/nowhere/libcuda.so.1" || !strings.Contains(absent.Error(), "/nowhere/libcuda.so.1") {
		t.Errorf("error %v", driver.Available())
	}
	if _, err := driver.Count(); !errors.Is(err, driver.ErrNotInitialized) {
		t.Errorf("counting devices: error %v", err)
	}
	if _, err := driver.Retain(0); !errors.Is(err, driver.ErrNotInitialized) {
		t.Errorf("a context: error %v", err)
	}
}

func TestLibraryThatIsNoDriver(t *testing.T) {
	if fakedriver.Process(t, "TRITFLOW_LIBCUDA=libc.so.6") {
		return
	}
	if err := driver.Available(); err == nil || !strings.Contains(err.Error(), "libc.so.6 is no CUDA driver") {
		t.Errorf("error %v", err)
	}
}

func TestOldDriver(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_VERSION=11080") {
		return
	}
	old, ok := errors.AsType[*driver.OldDriverError](driver.Available())
	if !ok || old.Version != 11080 || !strings.Contains(old.Error(), "11.8") || !strings.Contains(old.Error(), "12.0") {
		t.Errorf("error %v", driver.Available())
	}
}

func TestDriverThatDoesNotStart(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_INIT=803") {
		return
	}
	err := driver.Available()
	failed, ok := errors.AsType[*driver.Error](err)
	if !ok || failed.Call != "cuInit" || failed.Code != 803 || failed.Name != "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" || failed.Device != -1 {
		t.Errorf("error %v", err)
	}
}

func TestNoDevices(t *testing.T) {
	if fakedriver.Elsewhere(t, "FAKE_DEVICES=0") {
		return
	}
	if err := driver.Available(); !errors.Is(err, driver.ErrNoDevice) || !strings.Contains(err.Error(), "CUDA_ERROR_NO_DEVICE") {
		t.Errorf("error %v", err)
	}
}

// What the driver lacks is told as such and does not end the process.
func TestMissingEntryPoint(t *testing.T) {
	if fakedriver.Elsewhere(t) {
		return
	}
	c := retain(t)
	if err := c.TrimPool(0); !errors.Is(err, driver.ErrSymbolNotFound) {
		t.Errorf("error %v", err)
	}
}
