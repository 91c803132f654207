package gguf_test

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"tritflow/gguf"
)

// sparse writes pieces at their offsets into a file of size bytes, which takes
// no room on disk in between.
func sparse(t *testing.T, size int64, pieces map[int64][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sparse.gguf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for at, b := range pieces {
		if _, err := io.NewOffsetWriter(f, at).Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Skip(err) // a file system without sparse files
	}
	return path
}

func beginning(tensors, keys uint64) []byte {
	b := append([]byte("GGUF"), 3, 0, 0, 0)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, tensors), keys)
}

// TestSparse: what a file claims costs no memory where the file is long and
// holds nothing.
func TestSparse(t *testing.T) {
	arrays := map[int64][]byte{0: beginning(0, 3)}
	at := int64(24)
	for _, key := range "abc" {
		b := append(binary.LittleEndian.AppendUint64(nil, 1), byte(key))
		b = binary.LittleEndian.AppendUint32(b, uint32(gguf.ValueArray))
		b = binary.LittleEndian.AppendUint32(b, uint32(gguf.ValueUint8))
		b = binary.LittleEndian.AppendUint64(b, 1<<29)
		arrays[at] = b
		at += int64(len(b)) + 1<<29
	}
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"tensors": {sparse(t, 1<<30, map[int64][]byte{0: beginning(40_000_000, 0)}), gguf.ErrDuplicate},
		"arrays":  {sparse(t, at, arrays), gguf.ErrLimit},
	} {
		var err error
		used := allocated(func() { _, err = gguf.Open(c.path, gguf.Options{}) })
		if !errors.Is(err, c.want) || used > mostAllocated {
			t.Errorf("%s: %v after allocating %d bytes", name, err, used)
		}
	}
}
