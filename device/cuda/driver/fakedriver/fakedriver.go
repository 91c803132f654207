// Package fakedriver lets tests run against a CUDA driver that is not there: a small
// shared library, compiled when the test runs, that the forwarding library loads instead
// of libcuda.so.1. What it can do and how it fails is told to it by the environment; see
// c/fake.c.
//
// A process loads a driver once, so each test runs in a process of its own:
//
//	func TestSomething(t *testing.T) {
//		if fakedriver.Elsewhere(t, "FAKE_VERSION=11080") {
//			return // the test ran in another process
//		}
//		... against the driver
//	}
package fakedriver

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed c/fake.c
var source []byte

const child = "TRITFLOW_FAKE_CHILD"

// Library compiles the driver and returns its path. The test is skipped without a C compiler.
func Library(t testing.TB) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler for the driver that stands in for CUDA's")
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "fake.c"), filepath.Join(dir, "libfake.so")
	if err := os.WriteFile(in, source, 0o666); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(cc, "-shared", "-fPIC", "-O1", "-o", out, in).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	return out
}

// Elsewhere runs the calling test again in a process that has the driver and the given
// environment, and reports what happens there. It is false in that process.
func Elsewhere(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(child) == t.Name() {
		return false
	}
	return Process(t, append(env, "TRITFLOW_LIBCUDA="+Library(t))...)
}

// Process is Elsewhere without the driver: the environment may name another one, or none.
func Process(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(child) == t.Name() {
		return false
	}
	cmd := exec.Command(os.Args[0], "-test.run", pattern(t.Name()), "-test.v")
	cmd.Env = append(append(os.Environ(), env...), child+"="+t.Name())
	said, err := cmd.CombinedOutput()
	switch {
	case bytes.Contains(said, []byte("--- SKIP: "+t.Name())):
		t.Skipf("%s", said)
	case err != nil || !bytes.Contains(said, []byte("--- PASS: "+t.Name())):
		t.Fatalf("in the process with the driver: %v\n%s", err, said)
	}
	return true
}

// pattern selects one test, which may be a subtest.
func pattern(name string) string {
	return "^" + strings.ReplaceAll(name, "/", "$/^") + "$"
}
