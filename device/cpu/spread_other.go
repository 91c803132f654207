//go:build !linux

package cpu

// seat is nothing: the system does not tell where a thread runs.
type seat struct{}

func (*seat) here() int32                    { return -1 }
func (*seat) leave(func(processor int) bool) {}
