package cpu

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// seat is what the system writes of one worker.
type seat struct {
	number uint32
	mask   unix.CPUSet
	free   unix.CPUSet
}

// here is the processor that the calling thread runs on, -1 where the system does not tell.
func (s *seat) here() int32 {
	_, _, err := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&s.number)), 0, 0)
	if err != 0 {
		return -1
	}
	return int32(s.number)
}

// leave moves the calling thread to one of its processors that is not taken.
func (s *seat) leave(taken func(processor int) bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if unix.SchedGetaffinity(0, &s.mask) != nil {
		return
	}
	s.free = s.mask
	for p := range 64 * len(s.free) {
		if s.free.IsSet(p) && taken(p) {
			s.free.Clear(p)
		}
	}
	if s.free.Count() > 0 && unix.SchedSetaffinity(0, &s.free) == nil {
		_ = unix.SchedSetaffinity(0, &s.mask) // it could be set a moment ago
	}
}
