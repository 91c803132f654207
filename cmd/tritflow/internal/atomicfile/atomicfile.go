// Package atomicfile writes files that are either there completely or not at
// all: the bytes go to a temporary file beside the target, which takes the
// target's name at the end.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// File is a file being written. Exactly one of Commit and Abort decides what
// becomes of it; Abort after Commit does nothing, so it may be deferred.
type File struct {
	f      *os.File
	target string // where the bytes belong
	temp   string // where they are until Commit; "" when they go straight to the target
	done   bool
}

// Error says that a file could not be written, and what for.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string {
	return fmt.Sprintf("writing %s: %v; nothing was left behind: free some space or choose another place",
		e.Path, cause(e.Err))
}

// Unwrap gives the system's error (syscall.ENOSPC ...).
func (e *Error) Unwrap() error { return e.Err }

// cause drops the temporary name, which means nothing to the reader.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Create starts writing path. An existing regular file stays as it is until
// Commit; a symbolic link is followed; anything that is not a regular file (a
// pipe, a device) is written directly, since it must not be replaced.
func Create(path string) (*File, error) {
	target := path
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		target = resolved
	}
	if info, err := os.Stat(target); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(target, os.O_WRONLY, 0)
		if err != nil {
			return nil, &Error{path, err}
		}
		return &File{f: f, target: path}, nil
	}
	// os.CreateTemp would make it unreadable for others; the name need only be unlikely.
	temp := filepath.Join(filepath.Dir(target), fmt.Sprintf(".%s.%08x", filepath.Base(target), rand.Uint32()))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, &Error{path, err}
	}
	return &File{f: f, target: target, temp: temp}, nil
}

// Write appends to the file; its errors are of type *Error.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.f.Write(p)
	if err != nil {
		err = &Error{f.target, err}
	}
	return n, err
}

// Commit makes the file visible under its name. When it fails, nothing is left behind.
func (f *File) Commit() error {
	if f.temp == "" {
		f.done = true
		return f.wrap(f.f.Close())
	}
	f.done = true
	err := errors.Join(f.f.Sync(), f.f.Close())
	if err == nil {
		err = os.Rename(f.temp, f.target)
	}
	if err != nil {
		return f.wrap(errors.Join(err, os.Remove(f.temp)))
	}
	return nil
}

// Abort gives the file up and removes what was written.
func (f *File) Abort() {
	if f.done {
		return
	}
	f.done = true
	// Nobody can do anything about a failure here, and the reason for giving
	// up is already on its way.
	_ = f.f.Close()
	if f.temp != "" {
		_ = os.Remove(f.temp)
	}
}

func (f *File) wrap(err error) error {
	if err == nil {
		return nil
	}
	return &Error{f.target, err}
}
