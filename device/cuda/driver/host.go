//go:build cuda

package driver

// #include "shim.h"
import "C"

import "unsafe"

// HostBuffer is pinned host memory: the device copies to and from it without a detour,
// beside other work.
type HostBuffer struct {
	c     *Context
	p     unsafe.Pointer
	bytes int
}

// AllocHost takes pinned memory, visible to all devices and filled with zeros.
func (c *Context) AllocHost(bytes int) (*HostBuffer, error) {
	b := &HostBuffer{c: c, bytes: bytes}
	r := C.cuMemHostAlloc(&b.p, C.size_t(max(bytes, 1)), C.CU_MEMHOSTALLOC_PORTABLE|C.CU_MEMHOSTALLOC_DEVICEMAP)
	if err := c.failed("cuMemHostAlloc", r); err != nil {
		return nil, err
	}
	clear(b.Bytes())
	return b, nil
}

// Pointer is the buffer's address on the host.
func (b *HostBuffer) Pointer() unsafe.Pointer { return b.p }

// At is the address so many bytes into the buffer.
func (b *HostBuffer) At(offset int) unsafe.Pointer { return unsafe.Add(b.p, offset) }

// Bytes is the buffer as a slice, valid until Free.
func (b *HostBuffer) Bytes() []byte { return unsafe.Slice((*byte)(b.p), b.bytes) }

// Device is the address under which kernels reach the buffer.
func (b *HostBuffer) Device() (Ptr, error) {
	var p C.CUdeviceptr
	r := C.cuMemHostGetDevicePointer(&p, b.p, 0)
	return Ptr(p), b.c.failed("cuMemHostGetDevicePointer_v2", r)
}

// Free gives the memory back; slices of it must not be used any more.
func (b *HostBuffer) Free() error {
	if b.p == nil {
		return nil
	}
	err := b.c.failed("cuMemFreeHost", C.cuMemFreeHost(b.p))
	b.p, b.bytes = nil, 0
	return err
}

// Slice is a host buffer as values of a type.
func Slice[T any](b *HostBuffer) []T {
	var v T
	return unsafe.Slice((*T)(b.p), b.bytes/int(unsafe.Sizeof(v)))
}

// RegisterHost pins memory that exists: a mapped file, for instance, which must be
// registered as read-only where it is. It must not be memory of the Go heap.
func (c *Context) RegisterHost(p []byte, readOnly bool) error {
	flags := C.uint(C.CU_MEMHOSTREGISTER_PORTABLE)
	if readOnly {
		flags |= C.CU_MEMHOSTREGISTER_READ_ONLY
	}
	return c.failed("cuMemHostRegister_v2", C.cuMemHostRegister(unsafe.Pointer(unsafe.SliceData(p)), C.size_t(len(p)), flags))
}

// UnregisterHost ends what RegisterHost began.
func (c *Context) UnregisterHost(p []byte) error {
	return c.failed("cuMemHostUnregister", C.cuMemHostUnregister(unsafe.Pointer(unsafe.SliceData(p))))
}
