//go:build !(linux || darwin)

package bench

// peakRSS is not known here.
func peakRSS() uint64 { return 0 }

func residentNow() uint64 { return 0 }

func resetPeakRSS() {}
