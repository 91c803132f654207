package quantkern

import "unsafe"

// Scratch is per-worker memory of the kernels: it grows to what a call needs
// and stays, so that a steady state allocates nothing. The zero value is ready
// for use. A Scratch serves one call at a time.
type Scratch struct {
	acts    []uint64  // activation rows as words of four values
	weights []uint64  // one weight row as words of four trits
	trits   []int8    // one weight row, padded to whole words
	scales  []float32 // block scales of one weight row
	row     []float32 // one decoded row: of a dense matrix, of keys or of values
	query   []float32 // one query, rounded as its keys are
	half    []uint16  // the same in half precision
	scores  []float32 // one query's scores, a position each
	sums    []float32 // values added up, of several rows
	one     []float32 // one product
	codes   []int8    // codes of a group of a Screen
	tiles   []byte    // codes of a panel
	dots    []int32   // of a panel
	halves  halfActs  // activation rows for matrices with scales of blocks
}

// Bytes is the memory that the scratch holds.
func (s *Scratch) Bytes() int {
	return 8*(cap(s.acts)+cap(s.weights)) + cap(s.trits) + cap(s.codes) + cap(s.tiles) + s.halves.bytes() +
		2*cap(s.half) +
		4*(cap(s.dots)+cap(s.scales)+cap(s.row)+cap(s.query)+cap(s.scores)+cap(s.sums)+cap(s.one))
}

// blocksOf is the number of scales of a row.
func blocksOf(w *Ternary) int { return (w.Cols + w.scaleGroup() - 1) / w.scaleGroup() }

// blockScales unpacks the scales of row r.
func (s *Scratch) blockScales(w *Ternary, r int) []float32 {
	s.scales = grow(s.scales, blocksOf(w))
	w.BlockScales(s.scales, r)
	return s.scales
}

// grow returns a slice of n elements, s's memory where that is large enough.
// The contents are undefined.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// bytesOf views float32 as the bytes they lie in.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// halfBytes views half-precision values as the bytes they lie in.
func halfBytes(x []uint16) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 2*len(x))
}

// floatsOf views little-endian bytes as n float32; ok is false where the
// machine's byte order or the alignment forbids it.
func floatsOf(data []byte, n int) (floats []float32, ok bool) {
	one := uint16(1)
	littleEndian := *(*byte)(unsafe.Pointer(&one)) == 1
	p := unsafe.Pointer(unsafe.SliceData(data))
	if !littleEndian || len(data) < 4*n || uintptr(p)%4 != 0 {
		return nil, false
	}
	return unsafe.Slice((*float32)(p), n), true
}
