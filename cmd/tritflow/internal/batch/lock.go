package batch

import (
	"fmt"
	"os"
	"strings"

	"github.com/gofrs/flock"
)

// Lock takes the lock of an output; it dies with the process. For good removes
// the file as well, which is safe when the job is finished: whoever else comes
// then finds nothing to do.
func Lock(path string) (unlock func(forGood bool) error, err error) {
	l := flock.New(path)
	ok, err := l.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("batch: locking %s: %w", path, err)
	case !ok:
		return nil, &LockedError{strings.TrimSuffix(path, lockSuffix)}
	}
	return func(forGood bool) error {
		if forGood {
			_ = os.Remove(path) // a system that does not remove open files keeps an empty one
		}
		return l.Close()
	}, nil
}
