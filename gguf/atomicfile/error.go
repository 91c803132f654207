package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrSpecial is matched when a pipe, a device or a folder stands where a file
// is to be written, or the name is empty.
var ErrSpecial = errors.New("it is not a regular file")

// errStays: the temporary file could not be removed.
var errStays = errors.New("the temporary file stays behind")

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
	var left *Error
	switch {
	case errors.Is(err, errStays) && errors.As(err, &left):
		return "remove " + left.Path + ", which stays behind"
	case errors.Is(err, errStays):
		return "it stays behind: remove it"
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
