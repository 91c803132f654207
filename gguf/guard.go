package gguf

import (
	"runtime"
	"runtime/debug"
)

// Guard runs fn so that a fault while reading a mapped file (it shrank, the
// disk failed) becomes a *FaultError naming file, tensor and offset instead of
// the end of the process. Faults elsewhere and other panics pass through. It
// works only for reads on the calling goroutine: every goroutine that reads
// tensor data needs its own Guard. Guards may nest.
func Guard(fn func() error) (err error) {
	before := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(before)
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		fault, ok := asFault(p)
		if !ok {
			panic(p)
		}
		err = fault
	}()
	return fn()
}

// asFault tells a fault inside a live mapping from every other panic. The
// runtime gives memory errors an Addr method when it knows the address.
func asFault(p any) (*FaultError, bool) {
	e, ok := p.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		return nil, false
	}
	m, offset, ok := live.find(e.Addr())
	if !ok {
		return nil, false
	}
	return m.fault(offset), true
}
