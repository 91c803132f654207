//go:build cuda

package driver

// #include "shim.h"
import "C"

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"gorgonia.org/cu"
)

// Module is compiled code in a context.
type Module struct {
	c *Context
	m cu.Module
}

// ImageError says that the driver cannot load a module. It unwraps to the *Error.
type ImageError struct {
	Log string // what the driver's compiler said
	Err error
}

func (e *ImageError) Error() string {
	if e.Log == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + ": " + e.Log
}

// Unwrap gives the *Error of the call.
func (e *ImageError) Unwrap() error { return e.Err }

// Load loads a module: a cubin, or PTX, which the driver compiles for the device and
// keeps in its cache of compiled code. The error is an *ImageError.
func (c *Context) Load(image []byte) (Module, error) {
	// PTX must end with a zero; one more does a cubin no harm.
	image = append(bytes.Clone(image), 0)
	log := make([]byte, 8<<10)
	m := Module{c: c}
	// Both are passed on inside of C structures, which the collector does not see.
	var pin runtime.Pinner
	pin.Pin(&image[0])
	pin.Pin(&log[0])
	defer pin.Unpin()
	r := C.tf_load((*C.CUmodule)(unsafe.Pointer(&m.m)), unsafe.Pointer(&image[0]), (*C.char)(unsafe.Pointer(&log[0])), C.size_t(len(log)))
	if err := c.failed("cuModuleLoadDataEx", r); err != nil {
		said, _, _ := bytes.Cut(log, []byte{0})
		return Module{}, &ImageError{Log: strings.TrimSpace(string(said)), Err: err}
	}
	return m, nil
}

// Unload frees the module's code.
func (m Module) Unload() error {
	return m.c.wrapped("cuModuleUnload", m.m.Unload())
}

// Function finds a kernel by name.
func (m Module) Function(name string) (Function, error) {
	f, err := m.m.Function(name)
	if err != nil {
		return Function{}, fmt.Errorf("kernel %s: %w", name, m.c.wrapped("cuModuleGetFunction", err))
	}
	return Function{m.c, f, name}, nil
}

// Global finds a variable by name: its address and its size in bytes.
func (m Module) Global(name string) (Ptr, int64, error) {
	p, n, err := m.m.Global(name)
	if err != nil {
		return 0, 0, fmt.Errorf("variable %s: %w", name, m.c.wrapped("cuModuleGetGlobal_v2", err))
	}
	return Ptr(p), n, nil
}

// Function is a kernel.
type Function struct {
	c    *Context
	f    cu.Function
	name string
}

// Name is the kernel's name.
func (f Function) Name() string { return f.name }

// FunctionInfo is what the compiler made of a kernel.
type FunctionInfo struct {
	MaxThreads int // a block may have
	Registers  int // a thread
	Shared     int // static bytes a block
	Local      int // bytes a thread: spilled registers and arrays
	PTX        int // version of the virtual architecture, 75 for compute_75
	Binary     int // version of the real one
}

// Info asks for all of it.
func (f Function) Info() (FunctionInfo, error) {
	var i FunctionInfo
	for _, a := range []struct {
		to   *int
		attr cu.FunctionAttribute
	}{
		{&i.MaxThreads, cu.FnMaxThreadsPerBlock}, {&i.Registers, cu.NumRegs}, {&i.Shared, cu.SharedSizeBytes},
		{&i.Local, cu.LocalSizeBytes}, {&i.PTX, cu.PtxVersion}, {&i.Binary, cu.BinaryVersion},
	} {
		v, err := f.f.Attribute(a.attr)
		if err != nil {
			return i, f.c.wrapped("cuFuncGetAttribute", err)
		}
		*a.to = v
	}
	return i, nil
}

// AllowShared lets launches ask for so many bytes of dynamic shared memory; needed
// above 48 KiB, up to Properties.SharedOptin.
func (f Function) AllowShared(bytes int) error {
	return f.c.failed("cuFuncSetAttribute", C.cuFuncSetAttribute(f.handle(), C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
}

// PreferShared says which percentage of the memory that L1 and shared memory divide
// should be shared; -1 leaves it to the driver.
func (f Function) PreferShared(percent int) error {
	return f.c.failed("cuFuncSetAttribute", C.cuFuncSetAttribute(f.handle(), C.CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, C.int(percent)))
}

// AllowLargeClusters lets clusters have more than eight blocks where the device can.
func (f Function) AllowLargeClusters() error {
	return f.c.failed("cuFuncSetAttribute", C.cuFuncSetAttribute(f.handle(), C.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1))
}

// BlocksPerSM is how many blocks run on a multiprocessor at a time.
func (f Function) BlocksPerSM(threads, shared int) (int, error) {
	n, err := f.f.MaxActiveBlocksPerMultiProcessor(threads, int64(shared))
	return n, f.c.wrapped("cuOccupancyMaxActiveBlocksPerMultiprocessor", err)
}

// MostClusters is how many clusters of a shape (Config.Cluster, Block and Shared) the device can have at work at once.
func (f Function) MostClusters(c Config) (int, error) {
	var n C.int
	config := c.c()
	err := f.c.failed("cuOccupancyMaxActiveClusters", C.tf_max_clusters(&n, f.handle(), &config))
	return int(n), err
}

func (f Function) handle() C.CUfunction { return *(*C.CUfunction)(unsafe.Pointer(&f.f)) }
