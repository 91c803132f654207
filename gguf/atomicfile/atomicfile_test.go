package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// create starts a file that is begun with some bytes.
func create(t *testing.T, path string) *File {
	t.Helper()
	f, err := Create(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	return f
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func TestCommitReplacesAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := create(t, path)
	holds(t, path, "old")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	holds(t, path, "new")
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left in the folder: %v", got)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("permissions are now %v, %v", info.Mode(), err)
	}
	for what, err := range map[string]error{"Commit": f.Commit(), "Write": func() error { _, err := f.Write([]byte("x")); return err }()} {
		if we := (*Error)(nil); !errors.Is(err, fs.ErrClosed) || !errors.As(err, &we) {
			t.Errorf("a later %s: %v", what, err)
		}
	}
}

// TestPermissionsStay: those of a file that is replaced do not go through the umask.
func TestPermissionsStay(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permissions")
	}
	path := filepath.Join(t.TempDir(), "out")
	for _, mode := range []fs.FileMode{0o666, 0o777, 0o664, 0o640, 0o400} {
		if err := errors.Join(WriteFile(path, []byte("old")), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if err := create(t, path).Commit(); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("permissions %v are now %v, %v", mode, info.Mode(), err)
		}
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := create(t, filepath.Join(dir, "out"))
	if err := errors.Join(f.Abort(), f.Abort()); err != nil {
		t.Error(err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Commit after Abort: %v", err)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left in the folder: %v", got)
	}
}

// A write that fails gives the file up at once, and everything later says so.
func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	f := create(t, path)
	if err := f.f.Close(); err != nil { // the next write fails in the system
		t.Fatal(err)
	}
	_, first := f.Write([]byte("more"))
	var we *Error
	if !errors.As(first, &we) || we.Path != path {
		t.Fatalf("Write: %v", first)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Errorf("left in the folder: %v", got)
	}
	if err := f.Commit(); !errors.Is(err, first) {
		t.Errorf("Commit after a failed Write: %v", err)
	}
}

// What cannot be removed is named, and not told to be gone.
func TestWhatStaysIsTold(t *testing.T) {
	for name, end := range map[string]func(f *File) error{
		"Abort": (*File).Abort,
		"Write": func(f *File) error { _, err := f.Write([]byte("more")); return err },
	} {
		f := create(t, filepath.Join(t.TempDir(), "out"))
		// A folder that is not empty takes the temporary file's place.
		if err := errors.Join(f.f.Close(), os.Remove(f.Temp()), os.MkdirAll(filepath.Join(f.Temp(), "inside"), 0o700)); err != nil {
			t.Fatal(err)
		}
		err := end(f)
		if we := (*Error)(nil); !errors.As(err, &we) || !strings.Contains(err.Error(), f.Temp()) || strings.Contains(err.Error(), "nothing was left") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFailedCommitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	f := create(t, path)
	// A folder takes the name meanwhile.
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := f.Commit()
	if we := (*Error)(nil); !errors.As(err, &we) || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("Commit: %v", err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left in the folder: %v", got)
	}
}

func TestLinkIsFollowed(t *testing.T) {
	for _, c := range []struct {
		name  string
		there bool // the file at the end of the links
	}{{"to a file", true}, {"to nothing yet", false}} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			far := filepath.Join(dir, "far")
			if err := os.Mkdir(far, 0o700); err != nil {
				t.Fatal(err)
			}
			target, link, second := filepath.Join(far, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "second")
			if c.there {
				if err := os.WriteFile(target, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Symlink(filepath.Join("far", "target"), link), os.Symlink(link, second)); err != nil {
				t.Skip("no symbolic links here:", err)
			}
			if err := create(t, second).Commit(); err != nil {
				t.Fatal(err)
			}
			holds(t, target, "new")
			for _, l := range []string{link, second} {
				if info, err := os.Lstat(l); err != nil || info.Mode()&fs.ModeSymlink == 0 {
					t.Errorf("the link was replaced: %v %v", info, err)
				}
			}
			if got := names(t, far); len(got) != 1 {
				t.Errorf("left in the folder: %v", got)
			}
		})
	}
}

func TestDeviceIsWrittenInPlaceWhereAllowed(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	if _, err := Create("/dev/full", Options{}); !errors.Is(err, ErrSpecial) {
		t.Errorf("not allowed: %v", err)
	}
	f, err := Create("/dev/full", Options{Special: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte("x"))
	var we *Error
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &we) || we.Path != "/dev/full" {
		t.Errorf("Write: %v", err)
	}
	if err := f.Abort(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat("/dev/full"); err != nil || info.Mode().IsRegular() {
		t.Errorf("/dev/full is now %v, %v", info, err)
	}
	null, err := Create(os.DevNull, Options{Special: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := null.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if err := null.Commit(); err != nil {
		t.Error(err)
	}
}

func TestErrorsNameThePathAndARemedy(t *testing.T) {
	dir := t.TempDir()
	locked := filepath.Join(dir, "locked")
	if err := os.Mkdir(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		opt        Options
		is         error
		says       string
	}{
		{"no folder", filepath.Join(dir, "none", "out"), Options{}, fs.ErrNotExist, "make its folder"},
		{"a folder", dir, Options{}, ErrSpecial, "name a file"},
		{"no name", "", Options{}, ErrSpecial, "name a file"},
		{"a folder in place", dir, Options{Special: true}, syscall.EISDIR, "name a file"},
		{"not allowed", filepath.Join(locked, "out"), Options{}, fs.ErrPermission, "where you may write"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Create(c.path, c.opt)
			if err == nil {
				if err := f.Abort(); err != nil {
					t.Error(err)
				}
				if !errors.Is(c.is, fs.ErrPermission) {
					t.Fatal("no error")
				}
				t.Skip("this user may write anywhere") // the superuser
			}
			var we *Error
			if !errors.Is(err, c.is) || !errors.As(err, &we) || we.Path != c.path {
				t.Fatalf("got %v", err)
			}
			if !strings.HasPrefix(err.Error(), "writing "+c.path+": ") || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), ".tmp") {
				t.Errorf("message %q", err)
			}
		})
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := WriteFile(path, []byte("whole")); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "whole")
	if err := WriteFile(filepath.Join(dir, "none", "out"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left in the folder: %v", got)
	}
}
