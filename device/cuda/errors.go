//go:build cuda

package cuda

import (
	"errors"
	"fmt"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// unavailable says in words for people why a GPU, or all of them, cannot be used.
func unavailable(name string, err error) error {
	reason := err.Error()
	var absent *driver.AbsentError
	var failed *driver.Error
	switch {
	case errors.As(err, &absent):
		reason = fmt.Sprintf("there is no NVIDIA driver (%s); install one, or name the CPU (--devices cpu)", absent.Detail)
	case errors.Is(err, driver.ErrNoDevice):
		reason = "the NVIDIA driver finds no GPU; look at nvidia-smi and at CUDA_VISIBLE_DEVICES"
	case errors.As(err, &failed) && failed.Call == "cuInit":
		reason = fmt.Sprintf("the NVIDIA driver does not start: %s (%d); look at nvidia-smi", failed.Code.Error(), int(failed.Code))
	}
	return &device.UnavailableError{Device: name, Reason: reason, Err: err}
}

// asLost makes a *device.LostError of an error after which the GPU's context cannot be used
// any more; other errors stay as they are.
func asLost(name, doing string, err error) error {
	if driver.Lost(err) {
		return &device.LostError{Device: name, Doing: doing, Err: err}
	}
	return err
}

// asMemory makes a *device.MemoryError of an allocation that failed for want of memory.
func asMemory(c *driver.Context, name, what string, bytes int64, err error) error {
	if !errors.Is(err, driver.ErrOutOfMemory) {
		return asLost(name, "taking memory for "+what, err)
	}
	e := &device.MemoryError{Device: name, What: what, Need: uint64(bytes), Err: err}
	if free, _, ferr := c.MemInfo(); ferr == nil {
		e.Free = uint64(free)
	}
	return e
}
