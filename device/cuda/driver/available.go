//go:build cuda

package driver

// #include "shim.h"
import "C"

import (
	"fmt"
	"sync"

	"gorgonia.org/cu"
)

// MinVersion is the oldest version of the driver API that is enough: CUDA 12.0, which
// came with driver 525.
const MinVersion = 12000

// AbsentError says that there is no driver.
type AbsentError struct {
	Library string // what was looked for
	Detail  string // what the loader said
}

func (e *AbsentError) Error() string {
	return fmt.Sprintf("cuda: no NVIDIA driver: %s", e.Detail)
}

// OldDriverError says that the driver is older than MinVersion.
type OldDriverError struct{ Version int }

func (e *OldDriverError) Error() string {
	return fmt.Sprintf("cuda: the driver knows CUDA %s, at least %s is needed: install a driver of branch 525 or newer",
		VersionString(e.Version), VersionString(MinVersion))
}

// VersionString writes a version as people do: 12040 is "12.4".
func VersionString(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

var available = sync.OnceValue(func() error {
	d := C.tritflow_driver_open()
	switch d.state {
	case C.TRITFLOW_DRIVER_ABSENT:
		return &AbsentError{Library: C.GoString(d.library), Detail: C.GoString(d.detail)}
	case C.TRITFLOW_DRIVER_REFUSED:
		return failed(-1, "cuInit", C.CUresult(d.code))
	}
	v, err := Version()
	if err != nil {
		return err
	}
	if v < MinVersion {
		return &OldDriverError{v}
	}
	n, err := Count()
	if err != nil {
		return err
	}
	if n == 0 {
		return failed(-1, "cuDeviceGetCount", C.CUDA_ERROR_NO_DEVICE)
	}
	return nil
})

// Available loads and initializes the driver, once for the process, and says why it
// cannot be used: an *AbsentError, an *OldDriverError or an *Error.
func Available() error { return available() }

// Version is the newest CUDA that the driver knows, as 1000·major + 10·minor.
func Version() (int, error) {
	var v C.int
	err := failed(-1, "cuDriverGetVersion", C.cuDriverGetVersion(&v))
	return int(v), err
}

// Count is the number of devices.
func Count() (int, error) {
	n, err := cu.NumDevices()
	return n, wrapped(-1, "cuDeviceGetCount", err)
}
