package quantkern

import (
	"encoding/binary"
	"fmt"
	"math"
)

// TritSource is a matrix of trits to be packed.
type TritSource struct {
	Rows, Cols int
	Trits      func(dst []int8, r int) error // unpacks row r into Cols trits; several at a time

	// Scale serves every trit, unless there is Scales: that unpacks the scales
	// of row r, one for every Group values.
	Scale  float32
	Scales func(dst []float32, r int)
	Group  int
}

// Source is the matrix as what EncodeTernary reads.
func (t *Ternary) Source() TritSource {
	s := TritSource{Rows: t.Rows, Cols: t.Cols, Scale: t.Scale, Trits: func(dst []int8, r int) error {
		t.Trits(dst, r)
		return nil
	}}
	if !t.Uniform {
		s.Scales, s.Group = t.BlockScales, t.Codec.BlockValues
	}
	return s
}

// HoldsScale tells whether the type stores a scale without rounding it.
func (c *Codec) HoldsScale(scale float32) bool {
	if c.BlockBytes == 0 || c.head == 4 {
		return isFinite(scale)
	}
	return isFinite(scale) && math.Float32bits(F16ToF32(F32ToF16(scale))) == math.Float32bits(scale)
}

// EncodeTernary packs trits and scales without rounding either, where Encode
// starts from values: what NewTernary reads from dst is what the source has.
// Errors: ErrNotTernary, *ShapeError, *ShortError, and *ValueError for what
// cannot be held: something that is no trit, a scale that the type would round,
// or different scales where it has room for one. Errors of the source come back
// as they are.
//
// each runs fn over pieces that cover [0, groups), concurrently if it likes,
// and returns the first error; nil means here and now. A group is 32 rows.
func (c *Codec) EncodeTernary(dst []byte, src TritSource, each func(groups int, fn func(lo, hi int) error) error) error {
	if !c.Ternary {
		return fmt.Errorf("quantkern: %s: %w: decode and encode it", c.Name, ErrNotTernary)
	}
	rows, cols := src.Rows, src.Cols
	if err := c.Check(rows, cols); err != nil {
		return err
	}
	if err := c.writable(rows, cols); err != nil {
		return err
	}
	size := c.Size(rows, cols)
	if len(dst) < size {
		return &ShortError{Codec: c.Name, What: "packed bytes", Have: len(dst), Want: size}
	}
	dst = dst[:size]
	clear(dst)
	if c.tiled() && c.trits.tile == (Tile{}) && rows > 0 && cols > 0 {
		c = c.withTile(c.trits.tileOf(rows, cols))
	}
	if each == nil || src.Scales != nil {
		each = func(groups int, fn func(lo, hi int) error) error { return fn(0, groups) }
	}
	var whole float32
	err := each((rows+groupRows-1)/groupRows, func(lo, hi int) error {
		e := tritEncoder{c: c, src: &src, dst: dst, trits: make([]int8, cols), scales: make([]float32, cols)}
		for i := range e.scales {
			e.scales[i] = src.Scale
		}
		for r := lo * groupRows; r < min(hi*groupRows, rows); r++ {
			if err := src.Trits(e.trits, r); err != nil {
				return err
			}
			if bad := e.row(r); bad != nil {
				bad.Codec, bad.Row = c.Name, r
				return bad
			}
		}
		if src.Scales != nil {
			whole = e.whole
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.BlockBytes == 0 {
		if src.Scales == nil {
			whole = src.Scale
		}
		binary.LittleEndian.PutUint32(dst[c.tail(rows, cols):], math.Float32bits(whole))
	}
	return nil
}

// groupRows is how many rows share bytes in some type: in TL2 a word of signs
// has bits of rows that are 16 apart.
const groupRows = 32

// tritEncoder packs row by row.
type tritEncoder struct {
	c      *Codec
	src    *TritSource
	dst    []byte
	trits  []int8
	scales []float32 // of every value of the row
	whole  float32   // the tensor's, where it has one
	have   bool      // whole is known
}

func (e *tritEncoder) row(r int) *ValueError {
	c, cols := e.c, e.src.Cols
	for i, t := range e.trits {
		if t < -1 || t > 1 {
			return &ValueError{Col: i, Value: float32(t), Reason: "it is no trit: the file is damaged, or its byte order another one"}
		}
	}
	if e.src.Scales != nil {
		n := cols / e.src.Group
		e.src.Scales(e.scales[:n], r)
		for i := cols - 1; i >= 0; i-- { // from the end, so that nothing is overwritten that is still needed
			e.scales[i] = e.scales[i/e.src.Group]
		}
	}
	switch {
	case c.BlockBytes == 0:
		if bad := e.join(e.trits, e.scales, &e.whole, &e.have); bad != nil {
			return bad
		}
	case c.head > 0:
		if bad := e.unit(e.dst[r*c.rowBytes(cols):], 0, cols); bad != nil {
			return bad
		}
	default:
		for i := 0; i < cols; i += c.BlockValues {
			at := r*c.rowBytes(cols) + c.rowBytes(i) + c.trits.scaleAt
			if bad := e.unit(e.dst[at:], i, c.BlockValues); bad != nil {
				return bad
			}
		}
	}
	codes := asBytes(e.trits)
	for i := range codes {
		codes[i]++
	}
	c.packRow(e.dst, codes, e.src.Rows, cols, r)
	return nil
}

// unit stores the one scale of n values from column col on.
func (e *tritEncoder) unit(at []byte, col, n int) *ValueError {
	var scale float32
	have := false
	bad := e.join(e.trits[col:col+n], e.scales[col:col+n], &scale, &have)
	if bad == nil && !e.c.HoldsScale(scale) {
		bad = &ValueError{Value: scale, Reason: "a scale that the type would round; keep it in a tensor of its own"}
	}
	if bad == nil {
		if e.c.head > 0 {
			bad = e.c.putRowScale(at, scale)
		} else {
			bad = putScale(at, scale)
		}
	}
	if bad != nil {
		bad.Col += col
	}
	return bad
}

// join finds the one scale of values, which those of nothing but zeros do not
// decide.
func (e *tritEncoder) join(trits []int8, scales []float32, one *float32, have *bool) *ValueError {
	if e.src.Scales == nil {
		*one, *have = e.src.Scale, true
		if !isFinite(*one) {
			return &ValueError{Value: *one, Reason: "the scale is not finite"}
		}
		return nil
	}
	for i, s := range scales {
		switch {
		case !isFinite(s):
			return &ValueError{Col: i, Value: s, Reason: "the scale is not finite"}
		case trits[i] == 0 && *have, trits[i] == 0 && s == 0:
		case trits[i] == 0: // taken where nothing better comes
			if !*have {
				*one = s
			}
		case !*have:
			*one, *have = s, true
		case s != *one:
			return &ValueError{Col: i, Value: s, Reason: fmt.Sprintf("the source has several scales (%v before) where the type holds one; choose a type with smaller blocks", *one)}
		}
	}
	return nil
}
