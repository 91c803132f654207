//go:build cuda

package driver

// #include "shim.h"
import "C"

import (
	"unsafe"

	"gorgonia.org/cu"
)

// Ptr is an address in device memory.
type Ptr uintptr

// Offset is the address so many bytes further.
func (p Ptr) Offset(bytes int64) Ptr { return p + Ptr(bytes) }

// Alloc takes device memory, at least 256-byte aligned.
func (c *Context) Alloc(bytes int64) (Ptr, error) {
	p, err := cu.MemAlloc(bytes)
	return Ptr(p), c.wrapped("cuMemAlloc_v2", err)
}

// Free gives device memory back, after all work that uses it.
func (c *Context) Free(p Ptr) error {
	return c.wrapped("cuMemFree_v2", cu.MemFree(cu.DevicePtr(p)))
}

// CopyIn copies from host to device and returns when src may be changed.
func (c *Context) CopyIn(dst Ptr, src []byte) error {
	if len(src) == 0 {
		return nil
	}
	return c.wrapped("cuMemcpyHtoD_v2", cu.MemcpyHtoD(cu.DevicePtr(dst), unsafe.Pointer(&src[0]), int64(len(src))))
}

// CopyOut copies from device to host and returns when dst is filled.
func (c *Context) CopyOut(dst []byte, src Ptr) error {
	if len(dst) == 0 {
		return nil
	}
	return c.wrapped("cuMemcpyDtoH_v2", cu.MemcpyDtoH(unsafe.Pointer(&dst[0]), cu.DevicePtr(src), int64(len(dst))))
}

// Fill sets bytes of device memory to a value and returns when they are set: the driver does it in the default
// stream and waits for nothing, and streams of NewStream do not wait for that one.
func (c *Context) Fill(p Ptr, value byte, bytes int64) error {
	if bytes == 0 {
		return nil
	}
	if err := c.wrapped("cuMemsetD8_v2", cu.MemsetD8(cu.DevicePtr(p), value, bytes)); err != nil {
		return err
	}
	return c.failed("cuStreamSynchronize", C.cuStreamSynchronize(nil))
}

// CopyInAsync copies from host to device in the stream's order. The copy overlaps
// with other work where src is pinned (AllocHost, RegisterHost); it must stay as it is
// until the stream has done the copy, and must not be memory of the Go heap.
func (s Stream) CopyInAsync(dst Ptr, src unsafe.Pointer, bytes int64) error {
	return s.wrapped("cuMemcpyHtoDAsync_v2", cu.MemcpyHtoDAsync(cu.DevicePtr(dst), src, bytes, s.s))
}

// CopyOutAsync copies from device to host; for dst the rules of CopyInAsync hold.
func (s Stream) CopyOutAsync(dst unsafe.Pointer, src Ptr, bytes int64) error {
	return s.wrapped("cuMemcpyDtoHAsync_v2", cu.MemcpyDtoHAsync(dst, cu.DevicePtr(src), bytes, s.s))
}

// CopyAsync copies within the device.
func (s Stream) CopyAsync(dst, src Ptr, bytes int64) error {
	return s.wrapped("cuMemcpyDtoDAsync_v2", cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), bytes, s.s))
}

// FillAsync sets bytes of device memory to a value.
func (s Stream) FillAsync(p Ptr, value byte, bytes int64) error {
	return s.wrapped("cuMemsetD8Async", cu.MemsetD8Async(cu.DevicePtr(p), value, bytes, s.s))
}

// AllocAsync takes memory of the device's pool; it may be used by what follows in the
// stream.
func (s Stream) AllocAsync(bytes int64) (Ptr, error) {
	var p C.CUdeviceptr
	r := C.cuMemAllocAsync(&p, C.size_t(bytes), s.handle())
	return Ptr(p), s.failed("cuMemAllocAsync", r)
}

// FreeAsync gives memory back to the pool when the stream gets there.
func (s Stream) FreeAsync(p Ptr) error {
	return s.failed("cuMemFreeAsync", C.cuMemFreeAsync(C.CUdeviceptr(p), s.handle()))
}

// Pool is what the device's memory pool holds, in bytes.
type Pool struct{ Reserved, Used uint64 }

// Pool asks the pool from which AllocAsync takes.
func (c *Context) Pool() (Pool, error) {
	pool, err := c.pool()
	if err != nil {
		return Pool{}, err
	}
	var p Pool
	if err := c.failed("cuMemPoolGetAttribute", C.tf_pool_attribute(pool, C.CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, (*C.uint64_t)(&p.Reserved))); err != nil {
		return Pool{}, err
	}
	return p, c.failed("cuMemPoolGetAttribute", C.tf_pool_attribute(pool, C.CU_MEMPOOL_ATTR_USED_MEM_CURRENT, (*C.uint64_t)(&p.Used)))
}

// KeepPool lets the pool keep so many unused bytes when the device is waited for,
// instead of none.
func (c *Context) KeepPool(bytes uint64) error {
	pool, err := c.pool()
	if err != nil {
		return err
	}
	return c.failed("cuMemPoolSetAttribute", C.tf_set_pool_threshold(pool, C.uint64_t(bytes)))
}

// TrimPool gives unused memory of the pool back, but for so many bytes.
func (c *Context) TrimPool(keep int64) error {
	pool, err := c.pool()
	if err != nil {
		return err
	}
	return c.failed("cuMemPoolTrimTo", C.cuMemPoolTrimTo(pool, C.size_t(keep)))
}

func (c *Context) pool() (C.CUmemoryPool, error) {
	var pool C.CUmemoryPool
	r := C.cuDeviceGetDefaultMemPool(&pool, C.CUdevice(c.device))
	return pool, c.failed("cuDeviceGetDefaultMemPool", r)
}

func (c *Context) failed(call string, r C.CUresult) error { return failed(c.ordinal, call, r) }
