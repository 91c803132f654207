package graph

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"tritflow/gguf"
)

// draft is a file being made up: a shape's metadata and tensors, to be spoiled
// by a test before it is written.
type draft struct {
	meta    []MetaValue
	tensors []gguf.TensorInfo
}

func draftOf(t *testing.T, s Shape, matrices string) *draft {
	t.Helper()
	d := &draft{meta: s.Metadata()}
	for _, spec := range s.Tensors() {
		name := "F32"
		switch spec.Role {
		case RoleMatrix:
			name = matrices
		case RoleEmbedding, RoleHead:
			name = "F16"
		}
		d.tensors = append(d.tensors, gguf.TensorInfo{Name: spec.Name, Type: typeNamed(t, name), Dims: spec.Dims})
	}
	return d
}

// shapeNamed is a shape with fewer blocks and tokens.
func shapeNamed(t *testing.T, name string, blocks, tokens int) Shape {
	t.Helper()
	s, err := ShapeByName(name)
	if err != nil {
		t.Fatal(err)
	}
	s.Blocks, s.Vocab = blocks, tokens
	return s
}

func typeNamed(t *testing.T, name string) gguf.Type {
	t.Helper()
	typ, ok := gguf.TypeByName(name)
	if !ok {
		t.Fatalf("no type %s", name)
	}
	return typ
}

// set replaces a metadata value; nil removes the key.
func (d *draft) set(key string, value any) *draft {
	d.meta = slices.DeleteFunc(d.meta, func(m MetaValue) bool { return m.Key == key })
	if value != nil {
		d.meta = append(d.meta, MetaValue{key, value})
	}
	return d
}

func (d *draft) add(t *testing.T, name, typ string, dims ...uint64) *draft {
	t.Helper()
	d.tensors = append(d.tensors, gguf.TensorInfo{Name: name, Type: typeNamed(t, typ), Dims: dims})
	return d
}

// drop removes the tensors whose name contains part.
func (d *draft) drop(part string) *draft {
	d.tensors = slices.DeleteFunc(d.tensors, func(i gguf.TensorInfo) bool { return strings.Contains(i.Name, part) })
	return d
}

// change gives one tensor another type and shape.
func (d *draft) change(t *testing.T, name, typ string, dims ...uint64) *draft {
	t.Helper()
	i := slices.IndexFunc(d.tensors, func(i gguf.TensorInfo) bool { return i.Name == name })
	if i < 0 {
		t.Fatalf("no tensor %s", name)
	}
	d.tensors[i].Type, d.tensors[i].Dims = typeNamed(t, typ), dims
	return d
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// file writes the draft with zeros for weights and parses it again.
func (d *draft) file(t *testing.T) *gguf.File {
	t.Helper()
	var buf bytes.Buffer
	w := gguf.NewWriter(&buf)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range d.meta {
		check(w.Set(m.Key, m.Value))
	}
	for _, info := range d.tensors {
		check(w.Add(info))
	}
	for _, info := range d.tensors {
		n, err := info.Type.Size(info.Dims)
		check(err)
		check(w.WriteTensor(info.Name, io.LimitReader(zeros{}, int64(n))))
	}
	check(w.Close())
	f, err := gguf.Parse("draft", buf.Bytes(), gguf.Options{})
	check(err)
	t.Cleanup(func() { check(f.Close()) })
	return f
}
