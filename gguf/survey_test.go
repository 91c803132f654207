package gguf_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/gguftest"
)

func surveyed(t *testing.T, data []byte) (*gguf.File, []error, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, faults, err := gguf.Survey(path, gguf.Options{})
	if f != nil {
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return f, faults, err
}

// What Open refuses, Survey tells, whether it can go on or not.
func TestSurveyTellsWhatOpenRefuses(t *testing.T) {
	goneOn := 0
	for _, c := range gguftest.Hostile() {
		t.Run(c.Name, func(t *testing.T) {
			f, faults, err := surveyed(t, c.Data)
			all := errors.Join(append(faults, err)...)
			var fe *gguf.FormatError
			if !errors.Is(all, c.Want) || !errors.As(all, &fe) {
				t.Fatalf("got %v, want an error matching %q", all, c.Want)
			}
			if (f == nil) != (err != nil) || (len(faults) > 0) == (err != nil) {
				t.Errorf("file %v, %d faults, error %v", f != nil, len(faults), err)
			}
			if f != nil {
				goneOn++
			}
		})
	}
	if goneOn < 20 {
		t.Errorf("only %d files were looked at further", goneOn)
	}
}

func TestSurveyOfLegalFiles(t *testing.T) {
	for name, data := range gguftest.Odd() {
		t.Run(name, func(t *testing.T) {
			f, faults, err := surveyed(t, data)
			if err != nil || len(faults) > 0 {
				t.Fatal(faults, err)
			}
			for _, x := range f.Tensors() {
				if x.Data == nil {
					t.Errorf("%s has no data", x.Name)
				}
			}
		})
	}
}

// Of a file that is cut short every lost tensor is named, and the others can be read.
func TestSurveyOfACutFile(t *testing.T) {
	infos := []gguf.TensorInfo{{Name: "one", Type: gguf.TypeF32, Dims: []uint64{64}}, {Name: "two", Type: gguf.TypeF32, Dims: []uint64{64}}, {Name: "three", Type: gguf.TypeF32, Dims: []uint64{64}}}
	data := written(t, map[string]any{"k": "v"}, infos...)
	f, faults, err := surveyed(t, data[:len(data)-256-1]) // the last and a byte of the one before
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, fault := range faults {
		var fe *gguf.FormatError
		if !errors.As(fault, &fe) || !errors.Is(fault, gguf.ErrBounds) {
			t.Fatalf("got %v", fault)
		}
		named = append(named, fe.Tensor)
	}
	if !slices.Equal(named, []string{"two", "three"}) {
		t.Errorf("named are %q", named)
	}
	if v, err := f.Metadata().Str("k"); err != nil || v != "v" {
		t.Errorf("metadata: %q, %v", v, err)
	}
	for _, x := range f.Tensors() {
		if whole := x.Name == "one"; whole != bytes.Equal(x.Data, make([]byte, 256)) || !whole && x.Data != nil {
			t.Errorf("%s has %d bytes", x.Name, len(x.Data))
		}
	}
	if len(f.Tensors()) != 3 {
		t.Errorf("%d tensors, want all three", len(f.Tensors()))
	}
}
