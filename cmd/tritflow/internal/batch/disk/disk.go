package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// File is an open file that is read and written at offsets, so that after a
// failed write it is known where the good bytes end.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error // what was written survives a loss of power
	Close() error
}

// FS opens files by path. Errors are those of package os.
type FS interface {
	// Open opens a regular file for reading and writing; flag may hold
	// os.O_CREATE, os.O_EXCL and os.O_TRUNC.
	Open(path string, flag int) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncFolder makes names in the folder of path durable, where the system can.
	SyncFolder(path string)
}

// OS is the system's own.
type OS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Open implements FS.
func (OS) Open(path string, flag int) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flag, 0o666)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("it is not a regular file")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f}, nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// SyncFolder implements FS. Several systems cannot open or sync folders, and
// there is nothing to do about it.
func (OS) SyncFolder(path string) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return
	}
	_ = dir.Sync()
	_ = dir.Close()
}

// Error: a file of the job could not be read or written.
type Error struct {
	Path string
	Op   string // "writing", "reading"
	Err  error
}

func (e *Error) Error() string {
	cause := e.Err
	if pe := (*fs.PathError)(nil); errors.As(e.Err, &pe) {
		cause = pe.Err // the path is said already
	}
	msg := e.Op + " " + e.Path + ": " + cause.Error()
	if Full(e.Err) {
		msg += "; free some space and give the same command again: it goes on where it stopped"
	}
	return msg
}

// Unwrap gives the system's error.
func (e *Error) Unwrap() error { return e.Err }

// Full tells whether an error means that there is no room left.
func Full(err error) bool {
	const windowsDiskFull = syscall.Errno(112)
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) ||
		errors.Is(err, windowsDiskFull) && os.PathSeparator == '\\'
}
