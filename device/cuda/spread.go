//go:build cuda

package cuda

import (
	"encoding/binary"

	"tritflow/quantkern"
)

// A block of Q8_0: a half that scales so many int8.
const q8Values, q8Bytes = 32, 34

// spreads tells the ternary types that have a half for every block: where those differ, the matrix is
// kept as Q8_0.
func spreads(c *quantkern.Codec) bool { return c.BlockScaled() && c.BlockValues%q8Values == 0 }

// spread brings trits with a scale a block into Q8_0, a byte each: the same values.
func spread(c *quantkern.Codec, data []byte, rows, cols int) ([]byte, error) {
	w, err := quantkern.NewTernary(c, data, rows, cols)
	if err != nil {
		return nil, err
	}
	perRow := cols / q8Values * q8Bytes
	all := make([]byte, rows*perRow)
	err = inPieces(rows, func(lo, hi int) {
		trits, scales := make([]int8, cols), make([]float32, cols/c.BlockValues)
		for r := lo; r < hi; r++ {
			w.Trits(trits, r)
			w.BlockScales(scales, r)
			out := all[r*perRow:][:perRow]
			for at := 0; at < cols; at += q8Values {
				binary.LittleEndian.PutUint16(out, quantkern.F32ToF16(scales[at/c.BlockValues]))
				copy(out[2:], bytesOf(trits[at:at+q8Values]))
				out = out[q8Bytes:]
			}
		}
	})
	return all, err
}
