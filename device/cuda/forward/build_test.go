package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// toolkit makes the header of a driver with two functions in a folder of the test's, and goes there.
func toolkit(t *testing.T, folder string) (dir string) {
	t.Helper()
	for _, tool := range []string{"cc", "ar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no C compiler")
		}
	}
	dir = t.TempDir()
	path := filepath.Join(dir, folder, "include")
	if err := os.MkdirAll(path, 0o777); err != nil {
		t.Fatal(err)
	}
	const header = `#define CUDAAPI
#define CUDA_VERSION 12000
typedef enum { CUDA_SUCCESS = 0, CUDA_ERROR_NOT_INITIALIZED = 3, CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND = 302 } CUresult;
CUresult cuInit(unsigned int Flags);
CUresult cuCtxSynchronize(void);
`
	if err := os.WriteFile(filepath.Join(path, "cuda.h"), []byte(header), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	return dir
}

// The compiler runs in other folders, and go splits the options at spaces.
func TestLines(t *testing.T) {
	for _, folder := range []string{"kit", "my kit"} {
		dir := toolkit(t, folder)
		got, err := lines(folder, folder)
		if err != nil {
			t.Fatal(err)
		}
		quote, include := "", filepath.Join(dir, folder, "include")
		if strings.Contains(include, " ") {
			quote = "'"
		}
		want := quote + "-I" + include + quote + `"`
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
		if libraries, err := filepath.Glob(filepath.Join(folder, "tritflow-*/lib/libcuda.a")); err != nil || len(libraries) != 1 {
			t.Errorf("libraries %v, error %v", libraries, err)
		}
	}
}

// go takes a compiler with arguments, or behind another program.
func TestCompilerWithArguments(t *testing.T) {
	toolkit(t, "kit")
	t.Setenv("CC", "env cc -g")
	if _, err := build("kit", "kit"); err != nil {
		t.Error(err)
	}
}
