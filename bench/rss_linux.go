package bench

import (
	"bytes"
	"os"
	"strconv"
)

// peakRSS is the largest resident memory of the process so far, mapped pages
// included, 0 where the system does not say. Not getrusage, which also counts
// what the process was before it executed this program.
func peakRSS() uint64 { return status("VmHWM") }

// residentNow is the resident memory, mapped pages included; 0 = not known.
func residentNow() uint64 { return status("VmRSS") }

// resetPeakRSS lets peakRSS begin again, where the system allows it.
func resetPeakRSS() {
	// An error leaves the peak of what was before, which is not smaller.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// status reads a size of /proc/self/status in bytes.
func status(name string) uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("\n"+name+":"))
	number, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" kB"))
	kib, err := strconv.ParseUint(string(number), 10, 54)
	if err != nil {
		return 0
	}
	return kib << 10
}
