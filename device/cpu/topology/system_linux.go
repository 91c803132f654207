package topology

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// system gives the kernel's description of the machine and the processors that
// the process may run on; none when the kernel does not say (it has more of
// them than the set holds).
func system() (sys fs.FS, allowed []int) {
	var set unix.CPUSet
	// Of the first thread: the calling one may be pinned.
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return nil, nil
	}
	for cpu := range 64 * len(set) {
		if set.IsSet(cpu) {
			allowed = append(allowed, cpu)
		}
	}
	return os.DirFS("/sys/devices/system"), allowed
}
