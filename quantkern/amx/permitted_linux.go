//go:build amd64

package amx

import "syscall"

// Permitted asks the system to let the process use tile registers; their contents are
// part of a thread's state from then on, where it uses them.
func Permitted() bool {
	// arch_prctl(2): ARCH_REQ_XCOMP_PERM, of the component XTILEDATA. Linux before 5.16 answers EINVAL.
	const request, tileData = 0x1023, 18
	_, _, errno := syscall.RawSyscall(syscall.SYS_ARCH_PRCTL, request, tileData, 0)
	return errno == 0
}
