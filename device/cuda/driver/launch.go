//go:build cuda

package driver

// #cgo noescape tf_launch
// #cgo nocallback tf_launch
// #cgo noescape tf_launch_ex
// #cgo nocallback tf_launch_ex
// #include "shim.h"
import "C"

import (
	"math"
	"unsafe"
)

// Dim counts blocks of a grid, threads of a block or blocks of a cluster. Y and Z may be
// left 0 where they are 1.
type Dim struct{ X, Y, Z int }

// Config is the shape of a launch.
type Config struct {
	Grid, Block Dim
	Shared      int  // dynamic shared memory, bytes a block
	Cluster     Dim  // blocks of a cluster; X = 0: none
	Dependent   bool // may start while the kernel before it ends (programmatic dependent launch)
	Cooperative bool // all blocks at the same time, so that the grid can synchronize
}

func (c *Config) c() C.struct_tf_config {
	out := C.struct_tf_config{shared: C.uint(c.Shared)}
	c.Grid.put(&out.grid)
	c.Block.put(&out.block)
	if c.Cluster.X > 0 {
		c.Cluster.put(&out.cluster)
	}
	if c.Dependent {
		out.dependent = 1
	}
	if c.Cooperative {
		out.cooperative = 1
	}
	return out
}

func (d Dim) put(out *[3]C.uint) {
	out[0], out[1], out[2] = C.uint(d.X), C.uint(max(d.Y, 1)), C.uint(max(d.Z, 1))
}

// Args are the parameters of a kernel in memory that the driver reads: prepared once,
// changed in place, no allocation a launch. A launch copies them, so they may be changed
// as soon as it returns.
type Args struct {
	block    unsafe.Pointer // pointers to the values, then the values
	pointers []unsafe.Pointer
	values   []uint64 // eight bytes a parameter unless it is wider
	first    []int    // index into values
}

// NewArgs makes room for n parameters of up to eight bytes each.
func NewArgs(n int) *Args {
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = 8
	}
	return NewWideArgs(sizes...)
}

// NewWideArgs makes room for parameters of the given sizes in bytes; structures that are
// passed by value have more than eight.
func NewWideArgs(sizes ...int) *Args {
	words := 0
	a := &Args{first: make([]int, len(sizes))}
	for i, s := range sizes {
		// Sixteen bytes are what the widest vector types are aligned to.
		if s > 8 {
			words += words & 1
		}
		a.first[i] = words
		words += max(1, (s+7)/8)
	}
	head := (len(sizes)*8 + 15) &^ 15
	total := max(head+words*8, 16)
	a.block = C.calloc(1, C.size_t(total))
	a.pointers = unsafe.Slice((*unsafe.Pointer)(a.block), len(sizes))
	a.values = unsafe.Slice((*uint64)(unsafe.Add(a.block, head)), words)
	for i, at := range a.first {
		a.pointers[i] = unsafe.Pointer(&a.values[at])
	}
	return a
}

// Free gives the memory back.
func (a *Args) Free() {
	C.free(a.block)
	*a = Args{}
}

// SetPtr sets a pointer parameter.
func (a *Args) SetPtr(i int, p Ptr) { a.values[a.first[i]] = uint64(p) }

// SetInt sets an integer parameter of any width, two's complement.
func (a *Args) SetInt(i, v int) { a.values[a.first[i]] = uint64(v) }

// SetUint64 sets a parameter by its bits.
func (a *Args) SetUint64(i int, v uint64) { a.values[a.first[i]] = v }

// SetFloat32 sets a float parameter.
func (a *Args) SetFloat32(i int, v float32) { a.values[a.first[i]] = uint64(math.Float32bits(v)) }

// Bytes is where a parameter lies, for structures that are passed by value.
func (a *Args) Bytes(i int) []byte {
	end := len(a.values)
	if i+1 < len(a.first) {
		end = a.first[i+1]
	}
	at := a.first[i]
	return unsafe.Slice((*byte)(unsafe.Pointer(&a.values[at])), (end-at)*8)
}

func (a *Args) c() *unsafe.Pointer {
	if a == nil {
		return nil
	}
	return (*unsafe.Pointer)(a.block)
}

// Launch is a kernel, its shape and its parameters, ready to be run again and again.
// Change Config through Configure and the parameters through Args.
type Launch struct {
	Function Function
	Args     *Args
	config   C.struct_tf_config
	extended bool
}

// Prepare makes a launch of the kernel. args may be nil for a kernel without parameters.
func (f Function) Prepare(c Config, args *Args) *Launch {
	l := &Launch{Function: f, Args: args}
	l.Configure(c)
	return l
}

// Configure changes the shape.
func (l *Launch) Configure(c Config) {
	l.config = c.c()
	l.extended = c.Cluster.X > 0 || c.Dependent || c.Cooperative
}

// SetGrid changes the grid alone.
func (l *Launch) SetGrid(grid Dim) { grid.put(&l.config.grid) }

// Run puts the kernel into a stream: one call into C.
func (l *Launch) Run(s Stream) error {
	if l.extended {
		if r := C.tf_launch_ex(l.Function.handle(), &l.config, s.handle(), l.Args.c()); r != C.CUDA_SUCCESS {
			return s.failed("cuLaunchKernelEx ("+l.Function.name+")", r)
		}
		return nil
	}
	if r := C.tf_launch(l.Function.handle(), &l.config, s.handle(), l.Args.c()); r != C.CUDA_SUCCESS {
		return s.failed("cuLaunchKernel ("+l.Function.name+")", r)
	}
	return nil
}
