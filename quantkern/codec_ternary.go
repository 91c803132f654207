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
	codesAt  int    // offset of the trits in a block
	codes    int    // their bytes
	scaleAt  int    // offset of the f16 scale in a block; unused where rows or the tensor have one
	tile     Tile   // of types in tiles; zero: by the shape
}

type tritOrder uint8

const (
	flat     tritOrder = iota // 2-bit planes over the whole tensor
	fourRows                  // a byte has the same column of four rows
	inBlocks                  // 2-bit planes in blocks with a scale
	base3                     // five trits in a byte, in blocks with a scale
	quads                     // four neighbours in a byte, in blocks with a scale
	base3BN                   // five trits in a byte, IQ1_BN's order
	pairs                     // TL1: indices of pairs in tiles
	triples                   // TL2: indices and signs of triples, and pairs, in tiles
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
	planesBN  = planes{width: 16, first: 0, step: 2}
)

var ternaryCodecs = []*Codec{
	{Name: "TQ1_0", BlockValues: 256, BlockBytes: tq1Bytes, Ternary: true, encode: encodeTQ1,
		trits: &tritLayout{order: base3, rowGroup: 1, codes: tq1Scale, scaleAt: tq1Scale}},
	{Name: "TQ2_0", BlockValues: 256, BlockBytes: tq2Bytes, Ternary: true, encode: encodeTQ2,
		trits: &tritLayout{order: inBlocks, planes: planesTQ2, rowGroup: 1, codes: tq2Scale, scaleAt: tq2Scale}},
	{Name: "I2_S", BlockValues: 128, Ternary: true, trits: &tritLayout{order: flat, planes: planesA, rowGroup: 1}},
	{Name: "I2_S_B", BlockValues: 64, Ternary: true, trits: &tritLayout{order: flat, planes: planesB, rowGroup: 1}},
	{Name: "I2_S_C", BlockValues: 1, Ternary: true, trits: &tritLayout{order: fourRows, rowGroup: 4}},
	{Name: "TL1", BlockValues: 1, Ternary: true, trits: &tritLayout{order: pairs, rowGroup: 1}},
	{Name: "TL2", BlockValues: 1, Ternary: true, trits: &tritLayout{order: triples, rowGroup: 1}},
	{Name: "Q2_0", BlockValues: 64, BlockBytes: 18, Ternary: true, encode: encodeQ2,
		trits: &tritLayout{order: quads, rowGroup: 1, codesAt: 2, codes: 16}},
	{Name: "Q2_0_128", BlockValues: 128, BlockBytes: 34, Ternary: true, encode: encodeQ2,
		trits: &tritLayout{order: quads, rowGroup: 1, codesAt: 2, codes: 32}},
	{Name: "IQ1_BN", BlockValues: 64, BlockBytes: 13, Ternary: true, head: 2,
		trits: &tritLayout{order: base3BN, rowGroup: 1, codes: 13}},
	{Name: "IQ2_BN", BlockValues: 64, BlockBytes: 16, Ternary: true, head: 4,
		trits: &tritLayout{order: inBlocks, planes: planesBN, rowGroup: 1, codes: 16}},
}

// tiled tells the types whose byte order depends on tiles.
func (c *Codec) tiled() bool {
	return c.trits != nil && (c.trits.order == pairs || c.trits.order == triples)
}

// span unpacks trits col..col+len(dst) of row r; col is a multiple of maxSpan
// (of tiled types 0, and dst a row) and the span ends with a block. (A switch,
// not a function value: dst may be on the caller's stack.)
func (c *Codec) span(dst []int8, data []byte, rows, cols, r, col int) {
	l := c.trits
	if len(dst) == 0 {
		return
	}
	switch l.order {
	case flat:
		l.planes.unpack(dst, data[(r*cols+col)/4:][:len(dst)/4])
	case fourRows:
		at, shift := fourRowsAt(cols, r, col)
		unpackPlane(dst, data[at:][:len(dst)], shift)
	case pairs:
		unpackTL1(dst, data, l.tileOf(rows, cols), cols, r)
	case triples:
		unpackTL2(dst, data, l.tileOf(rows, cols), rows, cols, r)
	default:
		b := data[r*c.rowBytes(cols)+c.rowBytes(col):]
		for n := c.BlockValues; len(dst) > 0; dst, b = dst[n:], b[c.BlockBytes:] {
			l.unpackBlock(dst[:n], b[l.codesAt:][:l.codes])
		}
	}
}

// unpackBlock unpacks the trits of one block.
func (l *tritLayout) unpackBlock(dst []int8, b []byte) {
	switch l.order {
	case inBlocks:
		l.planes.unpack(dst, b)
	case base3:
		unpackTQ1(dst, b)
	case quads:
		unpackQuads(dst, b)
	case base3BN:
		unpackBN1(dst, b)
	}
}

// packRow is the inverse of span for the codes (trit + 1, of 0 to 2) of a whole row. Tiles
// and rows that share bytes are joined to what is there, so data starts as zeros.
func (c *Codec) packRow(data []byte, codes []uint8, rows, cols, r int) {
	l := c.trits
	if len(codes) == 0 {
		return
	}
	switch l.order {
	case flat:
		l.planes.pack(data[r*cols/4:], codes)
	case fourRows:
		at, shift := fourRowsAt(cols, r, 0)
		packPlane(data[at:], codes, shift)
	case pairs:
		packTL1(data, codes, l.tileOf(rows, cols), cols, r)
	case triples:
		packTL2(data, codes, l.tileOf(rows, cols), rows, cols, r)
	default:
		b := data[r*c.rowBytes(cols)+c.head:]
		for n := c.BlockValues; len(codes) > 0; codes, b = codes[n:], b[c.BlockBytes:] {
			l.packBlock(b[l.codesAt:][:l.codes], codes[:n])
		}
	}
}

// packBlock is the inverse of unpackBlock.
func (l *tritLayout) packBlock(b []byte, codes []uint8) {
	switch l.order {
	case inBlocks:
		l.planes.pack(b, codes)
	case base3:
		packTQ1(b, codes)
	case quads:
		packQuads(b, codes)
	case base3BN:
		packBN1(b, codes)
	}
}

// fourRowsAt is the byte and shift of column c of row r.
func fourRowsAt(cols, r, c int) (at, shift int) { return r/4*cols + c, 6 - 2*(r%4) }

// undefined counts what is not a trit in packed bytes without their scales: a
// whole tensor or one block.
func (l *tritLayout) undefined(packed []byte) int {
	switch l.order {
	case base3:
		return undefinedTQ1(packed)
	case base3BN:
		return undefinedBN1(packed)
	}
	return code3(packed)
}

// decodeTernary is Decode for every ternary type: float32(code − 1) × scale,
// so that an undefined code 3 gives +2 × scale.
func (c *Codec) decodeTernary(dst []float32, data []byte, rows, cols, r int) {
	if c.tiled() {
		trits := make([]int8, cols)
		c.span(trits, data, rows, cols, r, 0)
		scaleTrits(dst, trits, c.scale(data, rows, cols, r, 0))
		return
	}
	var buf [maxSpan]int8
	step := maxSpan
	if 0 < c.BlockBytes && c.head == 0 {
		step = c.BlockValues
	}
	for i := 0; i < cols; i += maxSpan {
		out := dst[i:min(i+maxSpan, cols)]
		trits := buf[:len(out)]
		c.span(trits, data, rows, cols, r, i)
		for j := 0; j < len(out); j += step {
			end := min(j+step, len(out))
			scaleTrits(out[j:end], trits[j:end], c.scale(data, rows, cols, r, i+j))
		}
	}
}

func scaleTrits(dst []float32, trits []int8, scale float32) {
	for j, t := range trits {
		dst[j] = float32(t) * scale
	}
}

// scale is the scale of value i of row r.
func (c *Codec) scale(data []byte, rows, cols, r, i int) float32 {
	switch {
	case c.BlockBytes == 0:
		return math.Float32frombits(binary.LittleEndian.Uint32(data[c.tail(rows, cols):]))
	case c.head > 0:
		return c.rowScale(data[r*c.rowBytes(cols):])
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
	return encodeTrits(dst[tq1Scale:], src, func(codes []uint8) { packTQ1(dst[:tq1Scale], codes) })
}

func packTQ1(dst []byte, codes []uint8) {
	packBase3(dst[:32], codes[:160], 5)
	packBase3(dst[32:48], codes[160:240], 5)
	packBase3(dst[48:52], codes[240:], 4)
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
	pack(codes[:len(src)])
	return putScale(scale, d)
}

// i2sZero is the magnitude below which bitnet.cpp's quantizer sees a zero.
const i2sZero = 1e-6

// encodeWhole packs a tensor that is already ternary: every value is 0 or ± the
// largest magnitude, which becomes the scale. What bitnet.cpp takes for zero
// is taken for zero, unless the scale itself is that small.
func (c *Codec) encodeWhole(dst []byte, src []float32, rows, cols int) error {
	if err := c.writable(rows, cols); err != nil {
		return err
	}
	_, scale, bad := extreme(src[:rows*cols])
	if bad != nil {
		bad.Codec, bad.Row, bad.Col = c.Name, bad.Col/cols, bad.Col%cols
		return bad
	}
	clear(dst[:c.Size(rows, cols)])
	codes := make([]uint8, cols)
	for r := range rows {
		if bad := strictCodes(codes, src[r*cols:], scale); bad != nil {
			bad.Codec, bad.Row = c.Name, r
			return bad
		}
		c.packRow(dst, codes, rows, cols, r)
	}
	binary.LittleEndian.PutUint32(dst[c.tail(rows, cols):], math.Float32bits(scale))
	return nil
}

// writable is the part of the rules that concerns writing alone.
func (c *Codec) writable(rows, cols int) error {
	if !c.tiled() && c.BlockBytes == 0 && cols%128 != 0 {
		return &ShapeError{Codec: c.Name, Rows: rows, Cols: cols,
			Need: "other engines compute nothing but multiples of 128 columns"}
	}
	return nil
}

// strictCodes finds the codes of the first len(codes) values.
func strictCodes(codes []uint8, src []float32, scale float32) *ValueError {
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
