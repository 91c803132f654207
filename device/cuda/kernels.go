//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"math"

	"tritflow/device/cuda/driver"
)

// kernel is a function of the module with its parameters prepared.
type kernel struct {
	f         driver.Function
	args      *driver.Args
	l         *driver.Launch
	dependent bool // the GPU can start it before the kernel before it has ended
}

// out are the words of the structure Out of kernels/ternary.cuh.
type out [9]uint64

// realOut are the words of the structure Real of kernels/real.cu.
type realOut [7]uint64

// run puts the kernel into the stream. Arguments are driver.Ptr, int, float32 or
// pointers to structures of words. dependent lets it start while the kernel before it ends.
func (k *kernel) run(s driver.Stream, grid driver.Dim, threads, shared int, dependent bool, args ...any) error {
	if k.args == nil {
		sizes := make([]int, len(args))
		for i, a := range args {
			sizes[i] = 8
			switch v := a.(type) {
			case *out:
				sizes[i] = 8 * len(v)
			case *shape:
				sizes[i] = 8 * len(v)
			case *realOut:
				sizes[i] = 8 * len(v)
			}
		}
		k.args = driver.NewWideArgs(sizes...)
		k.l = k.f.Prepare(driver.Config{Grid: grid, Block: driver.Dim{X: threads}}, k.args)
	}
	for i, a := range args {
		switch v := a.(type) {
		case driver.Ptr:
			k.args.SetPtr(i, v)
		case int:
			k.args.SetInt(i, v)
		case float32:
			k.args.SetUint64(i, uint64(math.Float32bits(v)))
		case *out:
			copy(k.args.Bytes(i), bytesOf(v[:]))
		case *shape:
			copy(k.args.Bytes(i), bytesOf(v[:]))
		case *realOut:
			copy(k.args.Bytes(i), bytesOf(v[:]))
		default:
			panic(fmt.Sprintf("cuda: parameter %d of %s is a %T", i, k.f.Name(), a))
		}
	}
	k.l.Configure(driver.Config{Grid: grid, Block: driver.Dim{X: threads}, Shared: shared, Dependent: dependent && k.dependent})
	return k.l.Run(s)
}

func (k *kernel) free() {
	if k.args != nil {
		k.args.Free()
		k.args = nil
	}
}

// attention are the kernels for one head dimension.
type attention struct{ chunks, combine, rows kernel }

// kernelSet is all that the device uses.
type kernelSet struct {
	modules []driver.Module

	packTrits, embedRows, checkRows, takeRows kernel
	norm4, norm8, norm32                      kernel
	few8, few16, few32, few64, ternaryMany    kernel
	realMul, gateMul                          kernel
	placeRows, attendAny                      kernel
	attn64, attn128                           attention
	largest                                   kernel
}

// named lists the kernels by source and name.
func (k *kernelSet) named() map[string]map[string]*kernel {
	return map[string]map[string]*kernel{
		"pack":          {"pack_trits": &k.packTrits},
		"lookup":        {"embed_rows": &k.embedRows, "check_rows": &k.checkRows, "take_rows": &k.takeRows},
		"norm":          {"norm4": &k.norm4, "norm8": &k.norm8, "norm32": &k.norm32},
		"ternary_few":   {"ternary_few8": &k.few8, "ternary_few16": &k.few16, "ternary_few32": &k.few32, "ternary_few64": &k.few64},
		"ternary_many":  {"ternary_many": &k.ternaryMany},
		"real":          {"real_mul": &k.realMul, "gate_rows": &k.gateMul},
		"position":      {"place_rows": &k.placeRows},
		"attention_any": {"attend_any": &k.attendAny},
		"attention": {
			"attn_chunks_64": &k.attn64.chunks, "attn_combine_64": &k.attn64.combine, "attn_rows_64": &k.attn64.rows,
			"attn_chunks_128": &k.attn128.chunks, "attn_combine_128": &k.attn128.combine, "attn_rows_128": &k.attn128.rows,
		},
		"largest": {"largest": &k.largest},
	}
}

// few are the kernels for few rows: up to how many they take, and tiles a block.
func (k *kernelSet) few() [4]struct {
	k           *kernel
	rows, tiles int
} {
	return [4]struct {
		k           *kernel
		rows, tiles int
	}{{&k.few8, 8, 1}, {&k.few16, 16, 1}, {&k.few32, 32, 2}, {&k.few64, 64, 2}}
}

// norm picks the kernel for rows of so many values, and its threads.
func (k *kernelSet) norm(cols int) (*kernel, int) {
	kn, each := &k.norm32, 32
	switch {
	case cols <= 4*1024:
		kn, each = &k.norm4, 4
	case cols <= 8*1024:
		kn, each = &k.norm8, 8
	}
	return kn, ceilDiv(ceilDiv(cols, each), 32) * 32
}

// loadKernels loads the modules and finds every kernel in them.
func loadKernels(c *driver.Context, p *driver.Properties) (*kernelSet, error) {
	k := &kernelSet{}
	for source, list := range k.named() {
		m, _, err := loadModule(c, p, source)
		if err != nil {
			return nil, errors.Join(err, k.unload())
		}
		k.modules = append(k.modules, m)
		for name, kn := range list {
			if kn.f, err = m.Function(name); err != nil {
				return nil, errors.Join(err, k.unload())
			}
			kn.dependent = p.Capability() >= 90
		}
	}
	// Two buffers of keys and values of 64 positions.
	return k, k.attn128.rows.f.AllowShared(64 << 10)
}

func (k *kernelSet) unload() error {
	var err error
	for _, list := range k.named() {
		for _, kn := range list {
			kn.free()
		}
	}
	for _, m := range k.modules {
		err = errors.Join(err, m.Unload())
	}
	return err
}
