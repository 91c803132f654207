package cpu

import "golang.org/x/sys/unix"

// totalMemory is the machine's RAM in bytes, 0 where the kernel does not say.
func totalMemory() uint64 {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return 0
	}
	return uint64(si.Totalram) * uint64(si.Unit) //nolint:unconvert // narrower on 32-bit machines
}
