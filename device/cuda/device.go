//go:build cuda

package cuda

import (
	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// NewDevice opens the GPU that p describes, under a name.
func NewDevice(name string, p *driver.Properties) (device.Device, error) {
	return nil, &device.UnavailableError{Device: name, Reason: "this build has no kernels for " + p.Name}
}
