package gguf_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

// mostAllocated is what refusing a small file may cost.
const mostAllocated = 64 << 20

// allocated measures the bytes that fn allocates.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostile(t *testing.T) {
	cases := gguftest.Hostile()
	if len(cases) < 40 {
		t.Fatalf("only %d hostile files", len(cases))
	}
	names := map[string]bool{}
	dir := t.TempDir()
	for _, c := range cases {
		if names[c.Name] {
			t.Fatalf("two cases are named %q", c.Name)
		}
		names[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			path := filepath.Join(dir, "hostile.gguf")
			if err := os.WriteFile(path, c.Data, 0o600); err != nil {
				t.Fatal(err)
			}
			ways := map[string]func() (*gguf.File, error){
				"Parse": func() (*gguf.File, error) { return gguf.Parse(path, c.Data, gguf.Options{}) },
				"Open":  func() (*gguf.File, error) { return gguf.Open(path, gguf.Options{}) },
			}
			for way, read := range ways {
				var f *gguf.File
				var err error
				used := allocated(func() { f, err = read() })
				if used > mostAllocated {
					t.Errorf("%s: allocated %d bytes for a file of %d", way, used, len(c.Data))
				}
				if f != nil || !errors.Is(err, c.Want) {
					t.Fatalf("%s: got %v, want an error matching %q", way, err, c.Want)
				}
				var fe *gguf.FormatError
				if !errors.As(err, &fe) {
					t.Fatalf("%s: %T is not a *FormatError", way, err)
				}
				if fe.File != path || fe.Reason == "" || fe.Hint == "" {
					t.Errorf("%s: error lacks file, reason or hint: %#v", way, fe)
				}
			}
		})
	}
}

func TestLegalOddities(t *testing.T) {
	f, err := gguf.Parse("smallest", gguftest.Smallest(), gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, ok := f.Tensor("a")
	if !ok || a.Type != gguf.TypeF32 || a.Offset != 128 || len(a.Data) != 16 || a.Data[3] != 0x3f || a.Elements() != 4 {
		t.Fatalf("tensor of the smallest file: %+v", a)
	}
	for name, data := range gguftest.Odd() {
		t.Run(name, func(t *testing.T) {
			f, err := gguf.Parse(name, data, gguf.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if want := uint32(data[4]); f.Version() != want || f.Size() != uint64(len(data)) {
				t.Errorf("version %d, size %d; the file has %d, %d", f.Version(), f.Size(), want, len(data))
			}
		})
	}
}
