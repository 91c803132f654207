//go:build !cuda

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// A program that was built without CUDA says so to whoever asks for it.
func TestNoCUDAScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/nocuda",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"fails": fails},
	})
}
