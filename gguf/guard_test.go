//go:build unix

package gguf_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"tritflow/gguf"
)

// sum reads every page of a tensor.
func sum(data []byte) (n int) {
	for i := 0; i < len(data); i += 512 {
		n += int(data[i])
	}
	return n
}

// shrunk opens a file of three tensors of 64 KiB and cuts it to its header
// and the first tensor while it is mapped.
func shrunk(t *testing.T) *gguf.File {
	t.Helper()
	shape := []uint64{16384}
	data := written(t, map[string]any{"tokens": []string{"a", "bc"}, "general.alignment": uint32(4096)},
		gguf.TensorInfo{Name: "one", Type: gguf.TypeF32, Dims: shape},
		gguf.TensorInfo{Name: "two", Type: gguf.TypeF32, Dims: shape},
		gguf.TensorInfo{Name: "three", Type: gguf.TypeF32, Dims: shape})
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	two, _ := f.Tensor("two")
	if err := os.Truncate(path, int64(two.Offset)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGuardNamesTheTensor(t *testing.T) {
	f := shrunk(t)
	for i, name := range []string{"one", "two", "three"} {
		ts, _ := f.Tensor(name)
		err := gguf.Guard(func() error {
			if n := sum(ts.Data[1024:]); n != 0 {
				t.Errorf("sum %d of zeros", n)
			}
			return nil
		})
		if i == 0 {
			if err != nil {
				t.Errorf("%s is whole: %v", name, err)
			}
			continue
		}
		var fe *gguf.FaultError
		if !errors.As(err, &fe) || fe.Tensor != name || fe.File != f.Name() {
			t.Fatalf("%s: %v", name, err)
		}
		// The kernel may report the page instead of the byte.
		if fe.Offset < ts.Offset || fe.Offset > ts.Offset+1024 {
			t.Errorf("%s at %d: fault at %d", name, ts.Offset, fe.Offset)
		}
		if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), f.Name()) {
			t.Errorf("message lacks names: %v", err)
		}
	}
}

// Metadata does not live in the mapping, so it survives file and mapping.
func TestMetadataOutlivesTheFile(t *testing.T) {
	f := shrunk(t)
	if err := os.Truncate(f.Name(), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tokens, err := f.Metadata().Strings("tokens")
		if err != nil || len(tokens) != 2 || tokens[1] != "bc" {
			t.Fatal(tokens, err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if ts, _ := f.Tensor("one"); ts.Data != nil || ts.Name != "one" {
		t.Errorf("closed tensor: %q with %d bytes", ts.Name, len(ts.Data))
	}
}

func TestGuardNests(t *testing.T) {
	f := shrunk(t)
	ts, _ := f.Tensor("two")
	total := 0 // used, so that the reads cannot be optimised away
	read := func() error { total += sum(ts.Data); return nil }
	var inner, outer error
	outer = gguf.Guard(func() error {
		inner = gguf.Guard(read)
		return read()
	})
	var fe *gguf.FaultError
	if !errors.As(inner, &fe) || !errors.As(outer, &fe) {
		t.Errorf("inner %v, outer %v, read %d", inner, outer, total)
	}
}

func TestGuardLetsOthersPass(t *testing.T) {
	mine := errors.New("mine")
	if err := gguf.Guard(func() error { return mine }); !errors.Is(err, mine) {
		t.Errorf("error became %v", err)
	}
	caught := func(fn func()) (p any) {
		defer func() { p = recover() }()
		return gguf.Guard(func() error { fn(); return nil })
	}
	if p := caught(func() { panic(mine) }); p != mine {
		t.Errorf("panic became %v", p)
	}
	var nobody *gguf.Tensor
	if p, ok := caught(func() { _ = nobody.Name }).(error); !ok || !strings.Contains(p.Error(), "nil pointer") {
		t.Errorf("nil dereference became %v", p)
	}
	var none []int
	if p, ok := caught(func() { none[len(none)] = 1 }).(error); !ok || !strings.Contains(p.Error(), "out of range") {
		t.Errorf("index panic became %v", p)
	}
}

func TestGuardRestoresTheSetting(t *testing.T) {
	for _, before := range []bool{false, true} {
		old := debug.SetPanicOnFault(before)
		if err := gguf.Guard(func() error { return nil }); err != nil {
			t.Error(err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = gguf.Guard(func() error { panic("x") })
		}()
		if after := debug.SetPanicOnFault(old); after != before {
			t.Errorf("was %v, is %v", before, after)
		}
	}
}
