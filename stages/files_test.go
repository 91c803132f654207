package stages

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"tritflow/gguf"
)

// Models of other packages' test data: one with an embedding of its own and
// float weights, one ternary whose head is the embedding.
const (
	tinyLlama   = "../graph/testdata/tiny-llama-f32.gguf"
	tinyTernary = "../graph/testdata/tiny-i2_s-seed1.gguf"
)

// copied puts a copy of a model where a test may spoil it, the tensor named
// last (if any) at its end.
func copied(t *testing.T, source, last string) string {
	t.Helper()
	f, err := gguf.Open(source, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(t.TempDir(), filepath.Base(source))
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range f.Metadata().Keys() {
		v, _ := f.Metadata().Get(key)
		if err := w.Set(key, v); err != nil {
			t.Fatal(err)
		}
	}
	var tensors []*gguf.Tensor
	for _, x := range f.Tensors() {
		if x.Name != last {
			tensors = append(tensors, x)
		}
	}
	if x, ok := f.Tensor(last); ok {
		tensors = append(tensors, x)
	}
	for _, x := range tensors {
		if err := w.Add(gguf.TensorInfo{Name: x.Name, Type: x.Type, Dims: x.Dims}); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range tensors {
		if err := w.WriteTensor(x.Name, bytes.NewReader(x.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// poisoned is a model in memory, one value of an F32 tensor of which is a NaN.
func poisoned(t *testing.T, source, tensor string, element int) *gguf.File {
	t.Helper()
	data, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(source, data, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, ok := f.Tensor(tensor)
	if !ok || x.Type != gguf.TypeF32 || element >= x.Elements() {
		t.Fatalf("no such value: %s[%d]", tensor, element)
	}
	binary.LittleEndian.PutUint32(data[x.Offset+4*uint64(element):], math.Float32bits(float32(math.NaN())))
	return f
}
