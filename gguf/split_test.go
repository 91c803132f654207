package gguf_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf"
)

// partSpec is what a split part is made of.
type partSpec struct {
	kvs    map[string]any
	tensor string
}

// threeParts is a well-formed split model; a test breaks one thing of it.
func threeParts() []partSpec {
	var out []partSpec
	for i := range 3 {
		out = append(out, partSpec{map[string]any{"split.no": uint16(i), "split.count": uint16(3), "split.tensors.count": int32(3)}, fmt.Sprintf("t%d", i)})
	}
	out[0].kvs["general.architecture"] = "bitnet"
	return out
}

// writeParts writes them as llama.cpp names them and returns the paths.
func writeParts(t *testing.T, parts []partSpec) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, p := range parts {
		path := filepath.Join(dir, fmt.Sprintf("model-%05d-of-%05d.gguf", i+1, len(parts)))
		data := written(t, p.kvs, gguf.TensorInfo{Name: p.tensor, Type: gguf.TypeF32, Dims: []uint64{uint64(i) + 1}})
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestSplitOpensFromAnyPart(t *testing.T) {
	parts := threeParts()
	parts[1].kvs["general.alignment"] = uint32(64)
	parts[2].kvs["general.architecture"] = "bitnet"
	parts[2].kvs["extra"] = "only here"
	paths := writeParts(t, parts)
	for _, path := range paths {
		f, err := gguf.Open(path, gguf.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var names, files []string
		size := uint64(0)
		for i, ts := range f.Tensors() {
			names, files = append(names, ts.Name), append(files, ts.File)
			if ts.Elements() != i+1 || len(ts.Data) != 4*(i+1) {
				t.Errorf("%s: %d elements, %d bytes", ts.Name, ts.Elements(), len(ts.Data))
			}
			st, err := os.Stat(ts.File)
			if err != nil {
				t.Fatal(err)
			}
			size += uint64(st.Size())
		}
		if d := cmp.Diff([]string{"t0", "t1", "t2"}, names) + cmp.Diff(paths, files); d != "" {
			t.Error(d)
		}
		if f.Name() != path || f.Size() != size {
			t.Errorf("name %s, size %d, want %d", f.Name(), f.Size(), size)
		}
		for key, want := range map[string]string{"general.architecture": "bitnet", "extra": "only here"} {
			if got, err := f.Metadata().Str(key); err != nil || got != want {
				t.Errorf("%s: %q, %v", key, got, err)
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSplitMismatch(t *testing.T) {
	cases := []struct {
		name  string
		spoil func([]partSpec)
		want  error
	}{
		{"parts swapped", func(p []partSpec) { p[1], p[2] = p[2], p[1] }, gguf.ErrSplit},
		{"number missing", func(p []partSpec) { delete(p[1].kvs, "split.no") }, gguf.ErrSplit},
		{"number of another type", func(p []partSpec) { p[1].kvs["split.no"] = "1" }, gguf.ErrSplit},
		{"other count inside", func(p []partSpec) { p[2].kvs["split.count"] = uint16(4) }, gguf.ErrSplit},
		{"count missing inside", func(p []partSpec) { delete(p[2].kvs, "split.count") }, gguf.ErrSplit},
		{"count unlike the name", func(p []partSpec) {
			for _, x := range p {
				x.kvs["split.count"] = uint16(2)
			}
		}, gguf.ErrSplit},
		{"tensors missing", func(p []partSpec) { p[0].kvs["split.tensors.count"] = int32(4) }, gguf.ErrSplit},
		{"negative tensors", func(p []partSpec) { p[0].kvs["split.tensors.count"] = int32(-1) }, gguf.ErrSplit},
		{"metadata disagree", func(p []partSpec) { p[2].kvs["general.architecture"] = "llama" }, gguf.ErrSplit},
		{"metadata of another type", func(p []partSpec) { p[2].kvs["general.architecture"] = uint8(1) }, gguf.ErrSplit},
		{"tensor in two parts", func(p []partSpec) { p[2].tensor = "t0" }, gguf.ErrDuplicate},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			parts := threeParts()
			c.spoil(parts)
			for _, path := range writeParts(t, parts) {
				// Parts that do not know that they are parts open alone.
				if f, err := gguf.Open(path, gguf.Options{}); f != nil && c.name == "count missing inside" {
					if err := f.Close(); err != nil {
						t.Error(err)
					}
				} else if !errors.Is(err, c.want) {
					t.Errorf("%s: got %v, want an error matching %q", filepath.Base(path), err, c.want)
				}
			}
		})
	}
}

func TestSplitFilesOnDisk(t *testing.T) {
	t.Run("part missing", func(t *testing.T) {
		paths := writeParts(t, threeParts())
		if err := os.Remove(paths[1]); err != nil {
			t.Fatal(err)
		}
		_, err := gguf.Open(paths[2], gguf.Options{})
		var fe *gguf.FormatError
		if !errors.Is(err, gguf.ErrSplit) || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &fe) || fe.File != paths[1] {
			t.Errorf("got %v", err)
		}
	})
	t.Run("part truncated", func(t *testing.T) {
		paths := writeParts(t, threeParts())
		if err := os.Truncate(paths[1], 20); err != nil {
			t.Fatal(err)
		}
		_, err := gguf.Open(paths[0], gguf.Options{})
		var fe *gguf.FormatError
		if !errors.Is(err, gguf.ErrTruncated) || !errors.As(err, &fe) || fe.File != paths[1] {
			t.Errorf("got %v", err)
		}
	})
	for _, name := range []string{"renamed.gguf", "model-00000-of-00003.gguf", "model-00004-of-00003.gguf", "model-00001-of-00009.gguf"} {
		t.Run(name, func(t *testing.T) {
			paths := writeParts(t, threeParts())
			other := filepath.Join(filepath.Dir(paths[0]), name)
			if err := os.Rename(paths[0], other); err != nil {
				t.Fatal(err)
			}
			if _, err := gguf.Open(other, gguf.Options{}); !errors.Is(err, gguf.ErrSplit) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := gguf.Open(filepath.Join(dir, "absent.gguf"), gguf.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := gguf.Open(dir, gguf.Options{}); !errors.Is(err, gguf.ErrNotGGUF) {
		t.Errorf("directory: %v", err)
	}
}
