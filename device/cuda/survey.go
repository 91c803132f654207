//go:build cuda

package cuda

import (
	"context"
	"fmt"
	"runtime"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// survey describes every GPU of the machine, and measures those that can be used.
func survey(ctx context.Context, measure bool) ([]device.Found, error) {
	if err := driver.Available(); err != nil {
		return nil, unavailable(kind, err)
	}
	version, err := driver.Version()
	if err != nil {
		return nil, unavailable(kind, err)
	}
	n, err := driver.Count()
	if err != nil {
		return nil, unavailable(kind, err)
	}
	found := make([]device.Found, n)
	for i := range found {
		f := &found[i]
		*f = device.Found{Name: fmt.Sprintf("cuda:%d", i), Kind: kind, Driver: "CUDA " + driver.VersionString(version)}
		p, err := describe(i)
		if p != nil {
			f.Model, f.Memory, f.Units = p.Name, uint64(p.Memory), p.SMs
			f.Capability, f.Bus = fmt.Sprintf("%d.%d", p.Major, p.Minor), p.PCI
			f.Nominal = p.Bandwidth()
		}
		if err == nil {
			err = examine(ctx, p, f, measure)
		}
		if err != nil {
			f.Problem = err.Error()
		}
		if ctx.Err() != nil {
			return found, context.Cause(ctx)
		}
	}
	return found, nil
}

// examine opens a GPU and finds out what only an open one tells.
func examine(ctx context.Context, p *driver.Properties, f *device.Found, measure bool) (err error) {
	// The context belongs to the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := driver.Retain(p.Ordinal)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := c.Release(); err == nil {
			err = cerr
		}
	}()
	free, _, err := c.MemInfo()
	if err != nil {
		return err
	}
	f.Free = uint64(free)
	if !measure {
		return nil
	}
	return measured(ctx, c, p, f)
}
