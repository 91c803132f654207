package batch

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"

	"tritflow/cmd/tritflow/internal/batch/disk"
)

// memFS is a file system in memory whose room is limited and that can lose its
// power: then of what was not synced each file keeps a part, torn anywhere.
type memFS struct {
	files map[string]*memNode
	room  int64 // bytes that may be written yet; < 0 = without limit
	syncs int
}

type memNode struct {
	data   []byte
	synced []byte // what a loss of power leaves for certain
}

func newMemFS() *memFS { return &memFS{files: map[string]*memNode{}, room: -1} }

type memFile struct {
	fs *memFS
	n  *memNode
}

func (m *memFS) Open(path string, flag int) (disk.File, error) {
	n, ok := m.files[path]
	switch {
	case !ok && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case ok && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrExist}
	case !ok:
		n = &memNode{}
		m.files[path] = n
	case flag&os.O_TRUNC != 0:
		n.data = nil
	}
	return &memFile{m, n}, nil
}

func (m *memFS) Rename(from, to string) error {
	n, ok := m.files[from]
	if !ok {
		return fs.ErrNotExist
	}
	m.files[to] = n
	delete(m.files, from)
	return nil
}

func (m *memFS) Remove(path string) error {
	if _, ok := m.files[path]; !ok {
		return fs.ErrNotExist
	}
	delete(m.files, path)
	return nil
}

func (m *memFS) SyncFolder(string) {}

func (f *memFile) Size() (int64, error) { return int64(len(f.n.data)), nil }
func (f *memFile) Close() error         { return nil }

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes what there is room for.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	n := len(p)
	if f.fs.room >= 0 {
		n = int(min(int64(n), f.fs.room))
		f.fs.room -= int64(n)
	}
	if need := int(off) + n; need > len(f.n.data) {
		f.n.data = append(f.n.data, make([]byte, need-len(f.n.data))...)
	}
	copy(f.n.data[off:], p[:n])
	if n < len(p) {
		return n, &fs.PathError{Op: "write", Path: "mem", Err: syscall.ENOSPC}
	}
	return n, nil
}

func (f *memFile) Truncate(size int64) error {
	if size > int64(len(f.n.data)) {
		f.n.data = append(f.n.data, make([]byte, size-int64(len(f.n.data)))...)
	}
	f.n.data = f.n.data[:size]
	return nil
}

func (f *memFile) Sync() error {
	f.fs.syncs++
	f.n.synced = append([]byte(nil), f.n.data...)
	return nil
}

// losePower keeps of each file what was synced, and of what came after it a
// random part, some of it as zeros.
func (m *memFS) losePower(rng *rand.Rand) {
	for _, n := range m.files {
		sure := 0
		for sure < min(len(n.synced), len(n.data)) && n.synced[sure] == n.data[sure] {
			sure++
		}
		if loose := len(n.data) - sure; loose > 0 {
			keep := sure + rng.IntN(loose+1)
			n.data = n.data[:keep]
			if keep > sure && rng.IntN(2) == 0 { // the size arrived, the bytes did not
				clear(n.data[sure+rng.IntN(keep-sure):])
			}
		}
	}
}

// tear cuts or damages the end of a file. The header stays as it is or is cut:
// a write does not change bytes that it does not reach.
func (m *memFS) tear(path string, rng *rand.Rand) {
	n := m.files[path]
	if n == nil || len(n.data) == 0 {
		return
	}
	at := len(n.data) - 1 - rng.IntN(min(len(n.data), 60))
	const header = 64
	if rng.IntN(2) == 0 || at < header {
		n.data = n.data[:at]
	} else {
		n.data[at] ^= 0x40
	}
}

var errKilled = errors.New("killed")
