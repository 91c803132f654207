//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"math"
	"reflect"

	"tritflow/device/cuda/driver"
)

// kernel is a function of the module with its parameters prepared.
type kernel struct {
	f    driver.Function
	args *driver.Args
	l    *driver.Launch
	pdl  bool
}

// out are the words of the structure Out of kernels/ternary.cuh.
type out [9]uint64

// run puts the kernel into the stream. Arguments are driver.Ptr, int, float32 or out; small
// ones take eight bytes. dependent lets it start while the kernel before it ends.
func (k *kernel) run(s driver.Stream, grid driver.Dim, threads, shared int, dependent bool, args ...any) error {
	if k.args == nil {
		sizes := make([]int, len(args))
		for i, a := range args {
			sizes[i] = 8
			if _, ok := a.(*out); ok {
				sizes[i] = 8 * len(out{})
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
		default:
			panic(fmt.Sprintf("cuda: parameter %d of %s is a %T", i, k.f.Name(), a))
		}
	}
	k.l.Configure(driver.Config{Grid: grid, Block: driver.Dim{X: threads}, Shared: shared, Dependent: dependent && k.pdl})
	return k.l.Run(s)
}

func (k *kernel) free() {
	if k.args != nil {
		k.args.Free()
		k.args = nil
	}
}

// all calls fn for every kernel of the set, by its name in the module.
func (k *kernels) all(fn func(name string, k *kernel) error) error {
	v := reflect.ValueOf(k).Elem()
	for i := range v.NumField() {
		name, ok := v.Type().Field(i).Tag.Lookup("kernel")
		if !ok {
			continue
		}
		if err := fn(name, v.Field(i).Addr().Interface().(*kernel)); err != nil {
			return err
		}
	}
	return nil
}

// loadKernels loads the module and finds every kernel in it.
func loadKernels(c *driver.Context, p *driver.Properties) (*kernels, error) {
	m, err := loadModule(c, p)
	if err != nil {
		return nil, err
	}
	k := &kernels{module: m}
	err = k.all(func(name string, kn *kernel) (err error) {
		kn.pdl = p.Capability() >= 90
		kn.f, err = m.Function(name)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, m.Unload())
	}
	return k, nil
}

func (k *kernels) unload() error {
	_ = k.all(func(_ string, kn *kernel) error {
		kn.free()
		return nil
	})
	return k.module.Unload()
}
