//go:build unix

package cpu

import (
	"time"

	"golang.org/x/sys/unix"
)

// processorTime gives a function that tells the processor time of this process so
// far. It allocates nothing.
func processorTime() func() (time.Duration, bool) {
	usage := new(unix.Rusage)
	return func() (time.Duration, bool) {
		err := unix.Getrusage(unix.RUSAGE_SELF, usage)
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err == nil
	}
}
