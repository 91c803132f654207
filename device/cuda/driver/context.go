//go:build cuda

package driver

import "gorgonia.org/cu"

// Context is the primary context of a device. Several may be retained for one device;
// they share streams' order, memory and modules of the one that the driver keeps.
type Context struct {
	ordinal int
	device  cu.Device
	ctx     cu.CUContext
}

// Retain creates or joins the primary context of a device and makes it current on
// the calling thread.
func Retain(ordinal int) (*Context, error) {
	d, err := cu.GetDevice(ordinal)
	if err != nil {
		return nil, wrapped(ordinal, "cuDeviceGet", err)
	}
	c := &Context{ordinal: ordinal, device: d}
	if c.ctx, err = d.RetainPrimaryCtx(); err != nil {
		return nil, wrapped(ordinal, "cuDevicePrimaryCtxRetain", err)
	}
	if err := c.MakeCurrent(); err != nil {
		c.Release() //nolint:errcheck // the first error is the one to tell
		return nil, err
	}
	return c, nil
}

// Ordinal is the driver's number of the device.
func (c *Context) Ordinal() int { return c.ordinal }

// MakeCurrent makes the context that of the calling thread.
func (c *Context) MakeCurrent() error {
	return c.wrapped("cuCtxSetCurrent", cu.SetCurrentContext(c.ctx))
}

// Synchronize waits for everything in the context, which must be current.
func (c *Context) Synchronize() error {
	return c.wrapped("cuCtxSynchronize", cu.Synchronize())
}

// MemInfo is the free and total memory of the device, in bytes.
func (c *Context) MemInfo() (free, total int64, err error) {
	free, total, err = cu.MemInfo()
	return free, total, c.wrapped("cuMemGetInfo_v2", err)
}

// Release gives the context back; the last one frees everything in it.
func (c *Context) Release() error {
	return c.wrapped("cuDevicePrimaryCtxRelease_v2", c.device.ReleasePrimaryCtx())
}

// Reset destroys the primary context, for all who retained it, and joins a new one,
// which it makes current. That is how a device is taken back into use after a fault;
// streams, memory and modules from before are gone.
func (c *Context) Reset() error {
	if err := c.wrapped("cuDevicePrimaryCtxReset_v2", c.device.ResetPrimaryCtx()); err != nil {
		return err
	}
	ctx, err := c.device.RetainPrimaryCtx()
	if err != nil {
		return c.wrapped("cuDevicePrimaryCtxRetain", err)
	}
	c.ctx = ctx
	return c.MakeCurrent()
}

func (c *Context) wrapped(call string, err error) error { return wrapped(c.ordinal, call, err) }
