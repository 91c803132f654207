package quantkern

import "fmt"

// Ternary is a ternary matrix in the layout of its file, used in place.
type Ternary struct {
	Codec      *Codec
	Rows, Cols int
	Data       []byte
	Uniform    bool    // one Scale serves every trit of the matrix
	Scale      float32 // weight = trit × Scale; valid when Uniform
}

// NewTernary prepares a matrix of a ternary codec: reads its scale(s). data is
// kept, not copied; it must have Codec.Size bytes (*ShortError), the shape must
// pass Codec.Check (*ShapeError), the codec must be ternary (ErrNotTernary).
//
// I2_S is Uniform by its layout. TQ1_0 and TQ2_0 are when every block has the
// same scale, where a finite scale of a block of zeros does not count. A scale
// that is no number is passed on for the caller to find.
func NewTernary(c *Codec, data []byte, rows, cols int) (*Ternary, error) {
	if !c.Ternary {
		return nil, fmt.Errorf("quantkern: %s: %w: multiply it as a dense matrix", c.Name, ErrNotTernary)
	}
	if err := c.Check(rows, cols); err != nil {
		return nil, err
	}
	size := c.Size(rows, cols)
	if len(data) < size {
		return nil, &ShortError{Codec: c.Name, What: "packed bytes", Have: len(data), Want: size}
	}
	t := &Ternary{Codec: c, Rows: rows, Cols: cols, Data: data[:size:size]}
	if c.BlockBytes == 0 {
		t.Uniform, t.Scale = true, c.scale(data, rows, cols, 0, 0)
	} else {
		t.Scale, t.Uniform = t.commonScale()
	}
	return t, nil
}

// commonScale finds the one scale of a block layout, or that there is none.
// A matrix of zeros has the scale 0.
func (t *Ternary) commonScale() (scale float32, uniform bool) {
	c := t.Codec
	found := uint16(0)
	have := false
	for b := t.Data; len(b) > 0; b = b[c.BlockBytes:] {
		d := b[c.trits.scaleAt:]
		h := uint16(d[0]) | uint16(d[1])<<8
		if have && h == found || isFinite(F16ToF32(h)) && t.zeroBlock(b) {
			continue
		}
		if have {
			return 0, false
		}
		have, found = true, h
	}
	return F16ToF32(found), true
}

// zeroBlock tells whether all trits of the block at b are 0.
func (t *Ternary) zeroBlock(b []byte) bool {
	var buf [maxSpan]int8
	t.Codec.trits.span(buf[:t.Codec.BlockValues], b, t.Codec.BlockValues, 0, 0)
	return buf == [maxSpan]int8{}
}

// Trits unpacks row r into dst (len Cols): code − 1, so −1, 0, 1 (and 2 for
// the undefined 2-bit code 3; undefined TQ1_0 bytes give −1, 0, 1 by the same
// formula as the others).
func (t *Ternary) Trits(dst []int8, r int) {
	checkRow(len(dst), t.Cols, t.Rows, r)
	t.Codec.trits.span(dst, t.Data, t.Cols, r, 0)
}

// BlockScales unpacks the scales of row r, one per Codec.BlockValues values.
// It is needed only when the matrix is not Uniform; the scales of I2_S are all
// the same.
func (t *Ternary) BlockScales(dst []float32, r int) {
	values := t.Codec.BlockValues
	checkRow(len(dst), t.Cols/values, t.Rows, r)
	for i := range dst {
		dst[i] = t.Codec.scale(t.Data, t.Rows, t.Cols, r, i*values)
	}
}

// Undefined counts what stands for no trit: the 2-bit codes 3, or the bytes of
// TQ1_0 that are not ceil(q×256/243) of a five-digit base-3 number q (whose
// last digit is 0 in the four-digit bytes). They compute as Trits says; a
// count above zero means a damaged file or another byte order.
func (t *Ternary) Undefined() int {
	layout := t.Codec.trits
	if t.Codec.BlockBytes == 0 {
		return layout.undefined(t.Data[:t.Rows*t.Cols/4])
	}
	n := 0
	for b := t.Data; len(b) > 0; b = b[t.Codec.BlockBytes:] {
		n += layout.undefined(b[:layout.scaleAt])
	}
	return n
}
