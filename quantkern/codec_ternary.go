package quantkern

import (
	"encoding/binary"
	"math"
)

// tritLayout says where a ternary type keeps its trits.
type tritLayout struct {
	order    tritOrder
	planes   planes // of the 2-bit orders flat and inBlocks
	rowGroup int    // rows that are packed together
	scaleAt  int    // offset of the f16 scale in a block
}

type tritOrder uint8

const (
	flat     tritOrder = iota // 2-bit planes over the whole tensor
	fourRows                  // a byte has the same column of four rows
	inBlocks                  // 2-bit planes in blocks with a scale
	base3                     // five trits in a byte, in blocks with a scale
)

// maxSpan bounds the trits that are unpacked on the stack at a time.
const maxSpan = 256

const (
	tq1Bytes, tq1Scale = 54, 52
	tq2Bytes, tq2Scale = 66, 64
)

// The three byte orders of I2_S, which a file does not tell apart: 32-byte
// groups (A, all published files), 16-byte groups (B, ARM builds of bitnet.cpp
// since late 2025), four rows in a byte (C). TQ2_0 has A's groups from the
// lowest bits up.
var (
	planesA   = planes{width: 32, first: 6, step: -2}
	planesB   = planes{width: 16, first: 6, step: -2}
	planesTQ2 = planes{width: 32, first: 0, step: 2}
)

var ternaryCodecs = []*Codec{
	{Name: "TQ1_0", BlockValues: 256, BlockBytes: tq1Bytes, Ternary: true, encode: encodeTQ1,
		trits: &tritLayout{order: base3, rowGroup: 1, scaleAt: tq1Scale}},
	{Name: "TQ2_0", BlockValues: 256, BlockBytes: tq2Bytes, Ternary: true, encode: encodeTQ2,
		trits: &tritLayout{order: inBlocks, planes: planesTQ2, rowGroup: 1, scaleAt: tq2Scale}},
	{Name: "I2_S", BlockValues: 128, Ternary: true, trits: &tritLayout{order: flat, planes: planesA, rowGroup: 1}},
	{Name: "I2_S_B", BlockValues: 64, Ternary: true, trits: &tritLayout{order: flat, planes: planesB, rowGroup: 1}},
	{Name: "I2_S_C", BlockValues: 1, Ternary: true, trits: &tritLayout{order: fourRows, rowGroup: 4}},
}

// span unpacks trits c..c+len(dst) of row r; c is a multiple of maxSpan and the
// span ends with a block. (A switch, not a function value: dst may be on the
// caller's stack.)
func (l *tritLayout) span(dst []int8, data []byte, cols, r, c int) {
	first := r*cols + c
	switch l.order {
	case flat:
		l.planes.unpack(dst, data[first/4:][:len(dst)/4])
	case fourRows:
		at, shift := fourRowsAt(cols, r, c)
		unpackPlane(dst, data[at:][:len(dst)], shift)
	case inBlocks:
		for b := data[first/256*tq2Bytes:]; len(dst) > 0; dst, b = dst[256:], b[tq2Bytes:] {
			l.planes.unpack(dst[:256], b[:tq2Scale])
		}
	case base3:
		for b := data[first/256*tq1Bytes:]; len(dst) > 0; dst, b = dst[256:], b[tq1Bytes:] {
			unpackTQ1(dst[:256], b[:tq1Scale])
		}
	}
}

// pack is the inverse of span for codes (trit + 1) in a whole-tensor layout.
func (l *tritLayout) pack(data []byte, codes []uint8, cols, r, c int) {
	if l.order == fourRows {
		at, shift := fourRowsAt(cols, r, c)
		packPlane(data[at:], codes, shift)
		return
	}
	l.planes.pack(data[(r*cols+c)/4:], codes)
}

// fourRowsAt is the byte and shift of column c of row r.
func fourRowsAt(cols, r, c int) (at, shift int) { return r/4*cols + c, 6 - 2*(r%4) }

// undefined counts what is not a trit in packed bytes without their scales: a
// whole tensor or one block.
func (l *tritLayout) undefined(packed []byte) int {
	if l.order == base3 {
		return undefinedTQ1(packed)
	}
	return code3(packed)
}

// decodeTernary is Decode for every ternary type: float32(code − 1) × scale,
// so that an undefined code 3 gives +2 × scale.
func (c *Codec) decodeTernary(dst []float32, data []byte, rows, cols, r int) {
	var buf [maxSpan]int8
	for i := 0; i < cols; i += maxSpan {
		out := dst[i:min(i+maxSpan, cols)]
		trits := buf[:len(out)]
		c.trits.span(trits, data, cols, r, i)
		scale := c.scale(data, rows, cols, r, i)
		for j, t := range trits {
			out[j] = float32(t) * scale
		}
	}
}

// scale is the scale of value i of row r.
func (c *Codec) scale(data []byte, rows, cols, r, i int) float32 {
	if c.BlockBytes == 0 {
		return math.Float32frombits(binary.LittleEndian.Uint32(data[rows*cols/4:]))
	}
	return f16At(data[r*c.rowBytes(cols)+c.rowBytes(i)+c.trits.scaleAt:])
}

// A TQ1_0 block is 32 and then 16 bytes of five base-3 digits, 4 bytes of
// four, and the scale.
func unpackTQ1(dst []int8, b []byte) {
	unpackBase3(dst[:160], b[:32], 5)
	unpackBase3(dst[160:240], b[32:48], 5)
	unpackBase3(dst[240:], b[48:52], 4)
}

func encodeTQ1(dst []byte, src []float32) *ValueError {
	return encodeTrits(dst[tq1Scale:], src, func(codes []uint8) {
		packBase3(dst[:32], codes[:160], 5)
		packBase3(dst[32:48], codes[160:240], 5)
		packBase3(dst[48:52], codes[240:], 4)
	})
}

func undefinedTQ1(b []byte) int {
	n := 0
	for i, v := range b {
		bit := i / 48 // the last four bytes have four digits
		n += 1 - int(defined3[v]>>bit&1)
	}
	return n
}

func encodeTQ2(dst []byte, src []float32) *ValueError {
	return encodeTrits(dst[tq2Scale:], src, func(codes []uint8) {
		planesTQ2.pack(dst[:tq2Scale], codes)
	})
}

// encodeTrits rounds a block to trits of its largest magnitude, half away from
// zero; the scale is rounded to f16 only after it was divided by.
func encodeTrits(scale []byte, src []float32, pack func(codes []uint8)) *ValueError {
	_, d, bad := extreme(src)
	if bad != nil {
		return bad
	}
	id := inverse(d)
	var codes [256]uint8
	for i, v := range src {
		codes[i] = uint8(roundAway(v*id) + 1)
	}
	pack(codes[:])
	return putScale(scale, d)
}

// i2sZero is the magnitude below which bitnet.cpp's quantizer sees a zero.
const i2sZero = 1e-6

// encodeI2S packs a tensor that is already ternary: every value is 0 or ± the
// largest magnitude, which becomes the scale. What bitnet.cpp takes for zero
// is taken for zero, unless the scale itself is that small.
func (c *Codec) encodeI2S(dst []byte, src []float32, rows, cols int) error {
	if cols%128 != 0 {
		return &ShapeError{Codec: c.Name, Rows: rows, Cols: cols,
			Need: "other engines compute nothing but multiples of 128 columns"}
	}
	_, scale, bad := extreme(src[:rows*cols])
	var codes [128]uint8 // rows are multiples of it
	for i := 0; i < rows*cols && bad == nil; i += len(codes) {
		if bad = i2sCodes(codes[:], src[i:], scale); bad == nil {
			c.trits.pack(dst, codes[:], cols, i/cols, i%cols)
		} else {
			bad.Col += i
		}
	}
	if bad != nil {
		bad.Codec, bad.Row, bad.Col = c.Name, bad.Col/cols, bad.Col%cols
		return bad
	}
	tail := dst[rows*cols/4:][:i2sTail]
	clear(tail)
	binary.LittleEndian.PutUint32(tail, math.Float32bits(scale))
	return nil
}

// i2sCodes finds the codes of the first len(codes) values.
func i2sCodes(codes []uint8, src []float32, scale float32) *ValueError {
	for i := range codes {
		v := src[i]
		switch a := abs32(v); {
		case a == 0 || float64(a) < i2sZero && float64(scale) >= i2sZero:
			codes[i] = 1
		case a == scale && v > 0:
			codes[i] = 2
		case a == scale:
			codes[i] = 0
		default:
			return &ValueError{Col: i, Value: v, Reason: "the tensor is not ternary; quantize it first"}
		}
	}
	return nil
}
