//go:build cuda

package cuda

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sync/errgroup"

	"tritflow/device"
	"tritflow/gguf"
)

// inPieces runs fn over pieces of [0, n) on all processors, each under gguf.Guard.
func inPieces(n int, fn func(lo, hi int)) error {
	piece := max(1, ceilDiv(n, runtime.GOMAXPROCS(0)))
	var all errgroup.Group
	for lo := 0; lo < n; lo += piece {
		all.Go(func() error {
			return gguf.Guard(func() error {
				fn(lo, min(lo+piece, n))
				return nil
			})
		})
	}
	return all.Wait()
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// wordsOf views floats as the words that they are in memory.
func wordsOf(v []float32) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(v))), len(v))
}

// intsOf views bytes as signed ones.
func intsOf(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// checkShape compares activations with the batch that they came with.
func checkShape(b *device.Batch, h *hidden, width int) error {
	if rows, own := h.Shape(); rows != len(b.Rows) || own != width {
		return &device.BatchError{Reason: fmt.Sprintf("activations are [%d, %d], the part needs [%d, %d]", rows, own, len(b.Rows), width)}
	}
	return nil
}
