package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrSpecial is matched when a pipe, a device or a folder stands where a file
// is to be written.
var ErrSpecial = errors.New("it is not a regular file")

// Error says which file could not be written, and what for.
type Error struct {
	Path string // as given to Create
	Err  error  // the system's error, ErrSpecial or fs.ErrClosed
}

func (e *Error) Error() string {
	return fmt.Sprintf("writing %s: %v; %s", e.Path, cause(e.Err), remedy(e.Err))
}

// Unwrap gives the cause (syscall.ENOSPC ...).
func (e *Error) Unwrap() error { return e.Err }

// cause drops names from the system's error: the path is told already, and the
// temporary one means nothing to the reader.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}

func remedy(err error) string {
	switch {
	case errors.Is(err, ErrSpecial), errors.Is(err, syscall.EISDIR):
		return "name a file"
	case errors.Is(err, fs.ErrNotExist):
		return "make its folder first or choose another place"
	case errors.Is(err, fs.ErrPermission):
		return "choose a place where you may write"
	case errors.Is(err, fs.ErrClosed):
		return "the file was finished or given up before"
	}
	return "nothing was left behind: free some space or choose another place"
}
