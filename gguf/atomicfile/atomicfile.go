package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Options of Create.
type Options struct {
	// Special lets a pipe or device be written in place, where nothing can be
	// taken back; without it Create refuses them with ErrSpecial.
	Special bool
}

// File is a file being written. Exactly one of Commit and Abort decides what
// becomes of it; Abort after Commit does nothing, so it may be deferred. After
// a failed Write the temporary file is gone already. All errors are *Errors.
// A File serves one goroutine.
type File struct {
	f      *os.File
	path   string // as the caller named it
	target string // the file behind links
	temp   string // where the bytes are until Commit; "" when they go straight to the target
	err    error  // why nothing more can be written
}

// Create starts writing path. An existing file stays as it is until Commit and
// then hands its permissions on; a symbolic link stays and the file that it
// points at is written, also when that is yet to be made.
func Create(path string, opt Options) (*File, error) {
	f := &File{path: path}
	if path == "" { // the temporary file could be written, and only Commit would fail
		return nil, f.fail(ErrSpecial)
	}
	mode, replaces := fs.FileMode(0o666), false
	switch info, err := os.Stat(path); {
	case err == nil && info.Mode().IsRegular():
		mode, replaces = info.Mode().Perm(), true
	case err == nil && !opt.Special:
		return nil, f.fail(ErrSpecial)
	case err == nil:
		if f.f, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
			return nil, f.fail(err)
		}
		return f, nil
	}
	f.target = Follow(path)
	if err := f.openTemp(mode); err != nil {
		return nil, f.fail(err)
	}
	if replaces {
		// What the umask took from them; not every file system has permissions.
		_ = f.f.Chmod(mode)
	}
	return f, nil
}

// Follow finds what a link points at, or would point at if it were there.
func Follow(path string) string {
	const most = 40 // links on the way, as systems allow them
	for range most {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		next, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(next) {
			// Not Join, which would drop a ".." that follows a linked folder.
			next = filepath.Dir(path) + string(filepath.Separator) + next
		}
		path = next
	}
	return path
}

// openTemp makes the temporary file. os.CreateTemp would make it unreadable
// for others.
func (f *File) openTemp(mode fs.FileMode) error {
	const attempts = 16
	for i := 0; ; i++ {
		name := filepath.Join(filepath.Dir(f.target), fmt.Sprintf(".tritflow-%016x.tmp", rand.Uint64()))
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err == nil {
			f.f, f.temp = file, name
			return nil
		}
		if !errors.Is(err, fs.ErrExist) || i == attempts {
			return err
		}
	}
}

// Write appends to the file. When it fails the file is given up.
func (f *File) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.f.Write(p)
	if err != nil {
		return n, f.giveUp(err)
	}
	return n, nil
}

// Temp is the path under which the bytes written so far can be read before
// Commit; "" for a pipe or device.
func (f *File) Temp() string { return f.temp }

// Commit makes the bytes durable and gives the file its name. When it fails,
// nothing is left behind.
func (f *File) Commit() error {
	if f.err != nil {
		return f.err
	}
	if f.temp == "" {
		if err := f.f.Close(); err != nil {
			return f.fail(err)
		}
		_ = f.fail(fs.ErrClosed)
		return nil
	}
	if err := f.f.Sync(); err != nil {
		return f.giveUp(err)
	}
	if err := f.f.Close(); err != nil {
		return f.giveUp(err)
	}
	if err := os.Rename(f.temp, f.target); err != nil {
		return f.giveUp(err)
	}
	f.syncFolder()
	_ = f.fail(fs.ErrClosed)
	return nil
}

// syncFolder makes the new name durable where the system can: several cannot
// open or sync folders, and the file itself is safe already.
func (f *File) syncFolder() {
	dir, err := os.Open(filepath.Dir(f.target))
	if err != nil {
		return
	}
	_ = dir.Sync()
	_ = dir.Close()
}

// Abort gives the file up and removes what was written. It does nothing when
// the file was committed or is gone already; an error says what stayed behind.
func (f *File) Abort() error {
	if f.err == nil {
		_ = f.fail(fs.ErrClosed)
		return f.remove()
	}
	return nil
}

// giveUp removes the temporary file because of err.
func (f *File) giveUp(err error) error {
	return f.fail(errors.Join(err, f.remove()))
}

// remove closes and removes the temporary file.
func (f *File) remove() error {
	// The bytes are not wanted any more, so it does not matter whether they arrived.
	_ = f.f.Close()
	if f.temp == "" {
		return nil
	}
	if err := os.Remove(f.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{f.temp, errors.Join(errStays, err)}
	}
	return nil
}

// fail keeps the error that everything later is answered with.
func (f *File) fail(err error) error {
	f.err = &Error{f.path, err}
	return f.err
}

// WriteFile writes a whole file.
func WriteFile(path string, data []byte) error {
	f, err := Create(path, Options{})
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Commit()
}
