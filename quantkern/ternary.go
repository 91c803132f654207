package quantkern

import "fmt"

// Ternary is a ternary matrix in the layout of its file, used in place.
type Ternary struct {
	Codec      *Codec
	Rows, Cols int
	Data       []byte
	Uniform    bool    // one Scale serves every trit of the matrix
	Scale      float32 // weight = trit × Scale; valid when Uniform

	// Of a copy in I2_S's order whose blocks have scales of their own: one for every
	// group values, row by row.
	blockScales []float32
	group       int
}

// NewTernary prepares a matrix of a ternary codec: reads its scale(s). data is
// kept, not copied; it must have Codec.Size bytes (*ShortError), the shape must
// pass Codec.Check (*ShapeError), the codec must be ternary (ErrNotTernary).
//
// I2_S, TL1 and TL2 are Uniform by their layout. Types with a scale for a block
// or a row are when all scales are the same, where a finite one of nothing but zeros
// does not count. A scale that is no number is passed on for the caller to find.
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
	if c.tiled() && rows > 0 && cols > 0 {
		c = c.withTile(c.trits.tileOf(rows, cols)) // so that rows need not look it up
	}
	t := &Ternary{Codec: c, Rows: rows, Cols: cols, Data: data[:size:size]}
	switch {
	case c.BlockBytes == 0:
		t.Uniform, t.Scale = true, c.scale(data, rows, cols, 0, 0)
	case c.head > 0:
		t.Scale, t.Uniform = t.commonScale(c.rowBytes(cols))
	default:
		t.Scale, t.Uniform = t.commonScale(c.BlockBytes)
	}
	return t, nil
}

// BlockScaled tells a ternary type whose every block has a scale of its own, a half.
func (c *Codec) BlockScaled() bool { return c.Ternary && c.BlockBytes > 0 && c.head == 0 }

// commonScale finds the one scale of a layout that has one every unit bytes (a
// block or a row), or that there is none. A matrix of zeros has the scale 0.
func (t *Ternary) commonScale(unit int) (scale float32, uniform bool) {
	c := t.Codec
	have := false
	var found []byte // as the first unit has it
	for b := t.Data; len(b) > 0; b = b[unit:] {
		d := b[c.trits.scaleAt:][:2]
		if c.head > 0 {
			d = b[:c.head]
		}
		if have && string(d) == string(found) || isFinite(c.scaleOf(d)) && t.zeroUnit(b[:unit]) {
			continue
		}
		if have {
			return 0, false
		}
		have, found = true, d
	}
	if !have {
		return 0, true
	}
	return c.scaleOf(found), true
}

// scaleOf reads a scale of two or four bytes.
func (c *Codec) scaleOf(d []byte) float32 {
	if c.head > 0 {
		return c.rowScale(d)
	}
	return f16At(d)
}

// zeroUnit tells whether all trits of a block, or of a row with its head, are 0.
func (t *Ternary) zeroUnit(unit []byte) bool {
	var buf [maxSpan]int8
	c := t.Codec
	n := c.BlockValues
	for b := unit[c.head:]; len(b) > 0; b = b[c.BlockBytes:] {
		c.trits.unpackBlock(buf[:n], b[c.trits.codesAt:][:c.trits.codes])
		if buf != [maxSpan]int8{} {
			return false
		}
	}
	return true
}

// Trits unpacks row r into dst (len Cols): code − 1, so −1, 0, 1 (and 2 for
// the undefined 2-bit code 3; undefined TQ1_0 and IQ1_BN bytes give −1, 0, 1 by the same
// formula as the others; undefined indices of TL1 and TL2 are zeros, which is
// what the tables of bitnet.cpp have there).
func (t *Ternary) Trits(dst []int8, r int) {
	checkRow(len(dst), t.Cols, t.Rows, r)
	t.Codec.span(dst, t.Data, t.Rows, t.Cols, r, 0)
}

// BlockScales unpacks the scales of row r, one per Codec.BlockValues values
// (of a copy of Repack, as many as the original's).
// It is needed only when the matrix is not Uniform; the scales of I2_S are all
// the same.
func (t *Ternary) BlockScales(dst []float32, r int) {
	values := t.scaleGroup()
	checkRow(len(dst), t.Cols/values, t.Rows, r)
	if t.scaledCopy() {
		copy(dst, t.blockScales[r*len(dst):])
		return
	}
	for i := range dst {
		dst[i] = t.Codec.scale(t.Data, t.Rows, t.Cols, r, i*values)
	}
}

// Undefined counts what stands for no trit: the 2-bit codes 3, the bytes of
// TQ1_0 and IQ1_BN that are not ceil(q×256/243) of a five-digit base-3 number q (whose
// last digit is 0 in the four-digit bytes), the indices of TL1 and TL2 above 8
// (pairs) or 13 (triples). They compute as Trits says; a
// count above zero means a damaged file or another byte order.
func (t *Ternary) Undefined() int {
	c := t.Codec
	layout := c.trits
	switch {
	case c.tiled():
		return t.undefinedTiles()
	case c.BlockBytes == 0:
		return layout.undefined(t.Data[:t.Rows*t.Cols/4])
	}
	n := 0
	for row := t.Data; len(row) > 0; row = row[c.rowBytes(t.Cols):] {
		for b := row[c.head:c.rowBytes(t.Cols)]; len(b) > 0; b = b[c.BlockBytes:] {
			n += layout.undefined(b[layout.codesAt:][:layout.codes])
		}
	}
	return n
}
