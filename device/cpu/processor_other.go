//go:build !unix

package cpu

import "time"

// processorTime gives a function that does not know the processor time here.
func processorTime() func() (time.Duration, bool) {
	return func() (time.Duration, bool) { return 0, false }
}
