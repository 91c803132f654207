//go:build cuda

package driver

import (
	"errors"

	"gorgonia.org/cu"
)

// CanAccess tells whether kernels and copies of this device reach another's memory
// without passing through the host.
func (c *Context) CanAccess(other *Context) (bool, error) {
	if c.ordinal == other.ordinal {
		return true, nil
	}
	can, err := c.device.CanAccessPeer(other.device)
	return can != 0, c.wrapped("cuDeviceCanAccessPeer", err)
}

// EnablePeer lets this context, which must be current, use the memory of another one.
// Having it already is no error.
func (c *Context) EnablePeer(other *Context) error {
	if c.ordinal == other.ordinal {
		return nil
	}
	err := c.wrapped("cuCtxEnablePeerAccess", other.ctx.EnablePeerAccess(0))
	if errors.Is(err, ErrPeerEnabled) {
		return nil
	}
	return err
}

// CopyPeerAsync copies between devices in the stream's order; with peer access
// directly, else the driver takes it through the host.
func (s Stream) CopyPeerAsync(dst Ptr, to *Context, src Ptr, from *Context, bytes int64) error {
	return s.wrapped("cuMemcpyPeerAsync",
		cu.MemcpyPeerAsync(cu.DevicePtr(dst), to.ctx, cu.DevicePtr(src), from.ctx, bytes, s.s))
}
