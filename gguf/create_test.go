package gguf_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"tritflow/gguf"
	"tritflow/gguf/atomicfile"
)

// folder lists a folder's files.
func folder(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

func TestCreateAppearsWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.gguf")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(w.Set("k", "v"), w.Add(oneF32), w.WriteTensor("a", bytes.NewReader(make([]byte, 16))))
	if err != nil {
		t.Fatal(err)
	}
	if old, err := os.ReadFile(path); err != nil || string(old) != "old" {
		t.Errorf("before Close: %q, %v", old, err)
	}
	if err := errors.Join(w.Close(), w.Abort()); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path, gguf.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if names := folder(t, dir); len(names) != 1 {
		t.Errorf("folder holds %v", names)
	}
}

// Nothing half-written stays, however the writing ends.
func TestCreateLeavesNothing(t *testing.T) {
	ends := map[string]func(w *gguf.Writer) error{
		"Abort at once":  func(w *gguf.Writer) error { return w.Abort() },
		"Abort midway":   func(w *gguf.Writer) error { return errors.Join(w.Add(oneF32), w.Abort(), w.Abort()) },
		"missing tensor": func(w *gguf.Writer) error { return wanted(errors.Join(w.Add(oneF32), w.Close()), gguf.ErrOrder) },
		"missing, aborted": func(w *gguf.Writer) error {
			return errors.Join(wanted(errors.Join(w.Add(oneF32), w.Close()), gguf.ErrOrder), w.Abort())
		},
		"short tensor": func(w *gguf.Writer) error {
			return wanted(errors.Join(w.Add(oneF32), w.WriteTensor("a", strings.NewReader("short"))), gguf.ErrSize)
		},
		"short tensor, then everything else": func(w *gguf.Writer) error {
			_ = w.Add(oneF32)
			first := w.WriteTensor("a", strings.NewReader("short"))
			for _, again := range []error{w.WriteTensor("a", strings.NewReader("more")), w.Set("k", 1), w.Close()} {
				if !errors.Is(again, gguf.ErrSize) {
					return fmt.Errorf("after %v came %v", first, again)
				}
			}
			return w.Abort()
		},
		"panicking source": func(w *gguf.Writer) (err error) {
			defer func() {
				if recover() == nil {
					err = errors.New("no panic came")
				}
				if w.Close() == nil {
					err = errors.New("Close succeeded after a panic")
				}
			}()
			return errors.Join(w.Add(oneF32), w.WriteTensor("a", panicking{}))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w, err := gguf.Create(filepath.Join(dir, "out.gguf"))
			if err != nil {
				t.Fatal(err)
			}
			if err := end(w); err != nil {
				t.Error(err)
			}
			if names := folder(t, dir); len(names) != 0 {
				t.Errorf("folder holds %v", names)
			}
		})
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("source broke") }

// wanted turns the expected error into none.
func wanted(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %v, want %v", err, want)
}

func TestCreateRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := gguf.Create(dir); !errors.Is(err, atomicfile.ErrSpecial) {
		t.Errorf("created a folder's name: %v", err)
	}
	if _, err := gguf.Create(filepath.Join(dir, "absent", "out.gguf")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent folder: %v", err)
	}
	if names := folder(t, dir); len(names) != 0 {
		t.Errorf("folder holds %v", names)
	}
}

func TestCreateFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.gguf"), filepath.Join(dir, "link.gguf")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Skipf("no links here: %v", err)
	}
	w, err := gguf.Create(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(real); err != nil || st.Size() == 0 {
		t.Errorf("real file: %v, %v", st, err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("link: %v, %v", st, err)
	}
}

// A name that is taken by a folder meanwhile fails at the very end.
func TestCloseCannotRename(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.gguf")
	w, err := gguf.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	var we *atomicfile.Error
	if err := w.Close(); !errors.As(err, &we) || we.Path != path {
		t.Errorf("Close replaced a folder: %v", err)
	}
	if names := folder(t, dir); len(names) != 1 {
		t.Errorf("folder holds %v", names)
	}
}

func TestDevFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /dev/full")
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no /dev/full here: %v", err)
	}
	defer func() { _ = f.Close() }()
	if err := large(gguf.NewWriter(f)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if _, err := gguf.Create("/dev/full"); !errors.Is(err, atomicfile.ErrSpecial) {
		t.Errorf("created a device: %v", err)
	}
}
