//go:build cuda

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tritflow/device/cuda/driver/fakedriver"
)

// The program with CUDA on machines that lack a GPU, or have one that cannot be used.
func TestCUDAScripts(t *testing.T) {
	library := fakedriver.Library(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/cuda",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"fails": fails},
		Setup: func(env *testscript.Env) error {
			env.Setenv("FAKE", library)
			env.Setenv("TRITFLOW_LIBCUDA", "libnowhere.so")
			return nil
		},
	})
}
