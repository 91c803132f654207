package bench

import "golang.org/x/sys/unix"

// peakRSS is the largest resident memory of the process so far.
func peakRSS() uint64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return uint64(u.Maxrss) // bytes on this system
}

// residentNow is not known without cgo.
func residentNow() uint64 { return 0 }

// resetPeakRSS: the system keeps one peak for the whole process.
func resetPeakRSS() {}
