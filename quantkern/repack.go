package quantkern

import (
	"encoding/binary"
	"math"
)

// Repack copies a matrix into the layout of I2_S when the kernels in use are
// fast for that one and not for the matrix's own: a uniform matrix of another type
// with rows of whole groups of 128, or one with a scale for each 128 or 256 values. The copy has the same trits,
// undefined codes included, and the same scale or scales, so that MulTernary gives the
// same bits; bytes is its size. Otherwise t itself comes back and bytes is 0.
//
// each runs fn over pieces that cover [0, rows), concurrently if it likes, and
// returns what went wrong, upon which the copy is dropped; nil means here and
// now.
func (t *Ternary) Repack(each func(rows int, fn func(lo, hi int)) error) (packed *Ternary, bytes int, err error) {
	blocks := t.gainsFromBlocks()
	if !blocks && !t.gainsFromI2S() {
		return t, 0, nil
	}
	c, err := Lookup("I2_S")
	if err != nil {
		return nil, 0, err
	}
	bytes = c.Size(t.Rows, t.Cols)
	data := make([]byte, bytes)
	tail := data[bytes-i2sTail:]
	binary.LittleEndian.PutUint32(tail, math.Float32bits(t.Scale))
	var scales []float32
	perRow := 0
	if blocks {
		perRow = t.Cols / t.Codec.BlockValues
		scales = make([]float32, t.Rows*perRow)
		bytes += 4 * len(scales)
	}
	rows := func(lo, hi int) {
		trits := make([]int8, t.Cols)
		for r := lo; r < hi; r++ {
			t.Trits(trits, r)
			packA(data[r*t.Cols/4:(r+1)*t.Cols/4], asBytes(trits))
			if blocks {
				t.BlockScales(scales[r*perRow:(r+1)*perRow], r)
			}
		}
	}
	if each == nil {
		rows(0, t.Rows)
	} else if err := each(t.Rows, rows); err != nil {
		return nil, 0, err
	}
	packed = &Ternary{Codec: c, Rows: t.Rows, Cols: t.Cols, Data: data, Uniform: !blocks, Scale: t.Scale}
	if blocks {
		packed.blockScales, packed.group = scales, t.Codec.BlockValues
	}
	return packed, bytes, nil
}

// RepackBytes is the size of the copy that Repack would make, 0 for none.
func (t *Ternary) RepackBytes() int {
	c, err := Lookup("I2_S")
	switch {
	case err != nil:
		return 0
	case t.gainsFromBlocks():
		return c.Size(t.Rows, t.Cols) + 4*t.Rows*(t.Cols/t.Codec.BlockValues)
	case t.gainsFromI2S():
		return c.Size(t.Rows, t.Cols)
	}
	return 0
}

func (t *Ternary) gainsFromI2S() bool {
	_, own := active.tiles[t.Codec.Name]
	_, i2s := active.tiles["I2_S"]
	return i2s && !own && t.Uniform && t.Rows > 0 && t.Cols > 0 && t.Cols%halfCodes == 0
}

// packA packs trits (-1 to 2, as bytes) in groups of I2_S, eight codes at a
// time.
func packA(dst, trits []byte) {
	w := planesA.width
	for ; len(dst) >= w && len(trits) >= 4*w; dst, trits = dst[w:], trits[4*w:] {
		for i := 0; i < w; i += 8 {
			var v uint64
			for plane := range 4 {
				v |= plusOne(binary.LittleEndian.Uint64(trits[plane*w+i:])) << (planesA.first + planesA.step*plane)
			}
			binary.LittleEndian.PutUint64(dst[i:], v)
		}
	}
}

// plusOne is the inverse of lessOne.
func plusOne(trits uint64) uint64 { return ((trits ^ lanes80) + lanes01) & lanes03 }
