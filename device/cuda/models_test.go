//go:build cuda

package cuda

import (
	"os"
	"testing"

	"tritflow/device/cuda/driver"
	"tritflow/gguf/gguftest"
	"tritflow/graph"
)

// boundModel is the model in a file ("": inside the program), mapped until the test ends.
func boundModel(t testing.TB, path string) *graph.Model {
	t.Helper()
	m, err := graph.Bind(gguftest.Open(t, path))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// gpuModel is the model whose file TRITFLOW_BENCH_MODEL names, or the one inside the program.
func gpuModel(t testing.TB) *graph.Model {
	t.Helper()
	return boundModel(t, os.Getenv("TRITFLOW_BENCH_MODEL"))
}

// benchModel is the model whose file TRITFLOW_BENCH_MODEL names.
func benchModel(b *testing.B) *graph.Model {
	b.Helper()
	if os.Getenv("TRITFLOW_BENCH_MODEL") == "" {
		b.Skip("TRITFLOW_BENCH_MODEL names no model")
	}
	return gpuModel(b)
}

// fakeGPU is the device on a driver whose kernels do nothing.
func fakeGPU(t *testing.T) *gpu {
	t.Helper()
	props, err := driver.Describe(0)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDevice("cuda:0", props)
	if err != nil {
		t.Fatal(err)
	}
	g := d.(*gpu)
	t.Cleanup(func() {
		if err := g.Close(); err != nil && g.fault.Load() == nil {
			t.Error(err)
		}
	})
	return g
}
