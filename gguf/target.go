package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// target is a file that appears under its name only when it is whole.
type target struct {
	file *os.File // temporary, in the folder of path
	path string
	done bool
}

// newTarget opens a temporary file beside path. A link is followed, so that
// the file it points at is replaced, not the link.
func newTarget(path string) (*target, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, fmt.Errorf("gguf: create %s: %w: it is a %s; name a file", path, fs.ErrExist, fileKind(st.Mode()))
	}
	const attempts = 16
	for i := 0; ; i++ {
		name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".tritflow-%016x.tmp", rand.Uint64()))
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			return &target{file: f, path: path}, nil
		}
		if !errors.Is(err, fs.ErrExist) || i == attempts {
			return nil, fmt.Errorf("gguf: create: %w", err)
		}
	}
}

// commit makes the file durable and gives it its name.
func (t *target) commit() error {
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	if err := t.file.Close(); err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	if err := os.Rename(t.file.Name(), t.path); err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	t.done = true
	t.syncFolder()
	return nil
}

// syncFolder makes the new name durable where the system can: several cannot
// open or sync folders, and the file itself is safe already.
func (t *target) syncFolder() {
	dir, err := os.Open(filepath.Dir(t.path))
	if err != nil {
		return
	}
	_ = dir.Sync()
	_ = dir.Close()
}

// discard removes the temporary file; a second call does nothing.
func (t *target) discard() error {
	if t.done {
		return nil
	}
	t.done = true
	if err := t.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return errors.Join(fmt.Errorf("gguf: %w", err), os.Remove(t.file.Name()))
	}
	if err := os.Remove(t.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("gguf: %w", err)
	}
	return nil
}
