package bench

import (
	"bytes"
	"os"
	"strconv"
)

// peakRSS is the largest resident memory of the process so far, mapped pages
// included, 0 where the system does not say. Not getrusage, which also counts
// what the process was before it executed this program.
func peakRSS() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("\nVmHWM:"))
	number, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" kB"))
	kib, err := strconv.ParseUint(string(number), 10, 54)
	if err != nil {
		return 0
	}
	return kib << 10
}
