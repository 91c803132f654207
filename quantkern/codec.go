package quantkern

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Codec packs and unpacks one tensor type. Codecs are found by the name that
// gguf gives the type. The layouts are those of GGUF files (little-endian).
type Codec struct {
	Name        string
	BlockValues int  // values of a row that are packed together
	BlockBytes  int  // their bytes; 0 for whole-tensor layouts (I2_S, TL1, TL2)
	Ternary     bool // values are trit × scale

	// decode and encode handle one block, or a whole row where BlockValues is
	// 1. They are nil for ternary layouts and for types without an encoder.
	decode func(dst []float32, src []byte)
	encode func(dst []byte, src []float32) *ValueError

	trits *tritLayout // of the ternary types
	head  int         // bytes of the scale in front of each row's blocks
}

// i2sTail is what follows the packed bytes of an I2_S tensor: the float32
// scale and 28 bytes of filler.
const i2sTail = 32

// Lookup finds a codec by name; the error names the type (ErrUnknownType). A
// type in tiles may say which, "TL1:256/128/32" (Tile); without them they
// follow from the shape (TilesFor).
func Lookup(name string) (*Codec, error) {
	if base, tile, ok := strings.Cut(name, ":"); ok {
		return lookupTiled(base, tile)
	}
	for _, c := range codecs {
		if c.Name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("quantkern: %w %q: convert the tensor to one of %s", ErrUnknownType, name, strings.Join(Names(), " "))
}

// Names lists all codecs.
func Names() []string {
	names := make([]string, len(codecs))
	for i, c := range codecs {
		names[i] = c.Name
	}
	return names
}

// CanEncode tells whether Encode works for this type.
func (c *Codec) CanEncode() bool { return c.encode != nil || c.trits != nil }

// Check says whether a rows × cols matrix can have this type (*ShapeError).
// Size, Decode and NewTernary expect shapes that pass it; Encode is stricter
// for I2_S.
func (c *Codec) Check(rows, cols int) error {
	need := ""
	switch {
	case rows < 0 || cols < 0 || rows > 0 && cols > (math.MaxInt/8)/rows:
		need = "the number of values must fit in memory"
	case cols%c.BlockValues != 0:
		need = fmt.Sprintf("the columns must be a multiple of %d", c.BlockValues)
	case c.trits != nil && rows%c.trits.rowGroup != 0:
		need = fmt.Sprintf("the rows must be a multiple of %d", c.trits.rowGroup)
	case c.tiled():
		need = c.trits.tileRule(rows, cols)
	}
	if need == "" {
		return nil
	}
	return &ShapeError{Codec: c.Name, Rows: rows, Cols: cols, Need: need}
}

// Size is the number of bytes of a rows × cols matrix that passes Check.
func (c *Codec) Size(rows, cols int) int {
	if c.BlockBytes == 0 {
		return c.tail(rows, cols) + i2sTail
	}
	return rows * c.rowBytes(cols)
}

func (c *Codec) rowBytes(cols int) int { return c.head + cols/c.BlockValues*c.BlockBytes }

// tail is where the scale of a whole-tensor layout stands.
func (c *Codec) tail(rows, cols int) int {
	if c.trits.order == triples {
		return tl2Tail(rows, cols)
	}
	return rows * cols / 4
}

// Decode unpacks row r of a rows × cols matrix into dst (len cols). data has
// at least Size(rows, cols) bytes. Every byte pattern decodes; every product
// is rounded to float32 before it is added to, so that all machines agree.
func (c *Codec) Decode(dst []float32, data []byte, rows, cols, r int) {
	checkRow(len(dst), cols, rows, r)
	if c.trits != nil {
		c.decodeTernary(dst, data, rows, cols, r)
		return
	}
	row := data[r*c.rowBytes(cols):][:c.rowBytes(cols)]
	if p := active.packed[c.Name]; p.takes(cols) {
		p.decode(&dst[0], &row[0], c.units(cols), 0)
		return
	}
	step := c.step(cols)
	bytes := c.rowBytes(step)
	for i := 0; i < cols; i += step {
		c.decode(dst[i:i+step], row[:bytes])
		row = row[bytes:]
	}
}

// Encode packs a rows × cols matrix, row-major in src, into dst (at least
// Size(rows, cols) bytes; all of these are written). Errors: ErrNoEncoder,
// *ShapeError, *ShortError and, for a value that the type cannot hold,
// *ValueError; after an error dst is undefined.
//
// Q8_0, Q6_K, TQ1_0, TQ2_0 give the bytes of ggml's reference quantizers, Q4_0
// and Q4_1 follow the same recipe (the block's extreme value is met exactly).
// TQ1_0, TQ2_0 and Q2_0 round to the nearest trit of the block's largest
// magnitude, IQ2_BN and IQ1_BN of the row's. I2_S, TL1 and TL2 do not round:
// their input has to be ternary times one constant.
func (c *Codec) Encode(dst []byte, src []float32, rows, cols int) error {
	if !c.CanEncode() {
		return fmt.Errorf("quantkern: %s: %w: write one of the other types", c.Name, ErrNoEncoder)
	}
	if err := c.Check(rows, cols); err != nil {
		return err
	}
	if n := rows * cols; len(src) < n {
		return &ShortError{Codec: c.Name, What: "values", Have: len(src), Want: n}
	}
	if n := c.Size(rows, cols); len(dst) < n {
		return &ShortError{Codec: c.Name, What: "packed bytes", Have: len(dst), Want: n}
	}
	switch {
	case c.BlockBytes == 0:
		return c.encodeWhole(dst, src, rows, cols)
	case c.head > 0:
		return c.encodeBN(dst, src, rows, cols)
	}
	step := c.step(cols)
	bytes := c.rowBytes(step)
	for i := 0; i < rows*cols; i += step {
		if err := c.encode(dst[:bytes], src[i:i+step]); err != nil {
			err.Codec, err.Row, err.Col = c.Name, i/cols, i%cols+err.Col
			return err
		}
		dst = dst[bytes:]
	}
	return nil
}

// step is the number of values that decode and encode take at once.
func (c *Codec) step(cols int) int {
	if c.BlockValues == 1 {
		return cols
	}
	return c.BlockValues
}

// units is the number of blocks of a row as packed kernels count them.
func (c *Codec) units(cols int) uintptr { return uintptr(cols / max(c.BlockValues, Lanes)) }

// checkRow panics when a caller mixes up its shapes, before a wrong row is
// read without notice.
func checkRow(have, want, rows, r int) {
	if have != want || r < 0 || r >= rows {
		panic(fmt.Sprintf("quantkern: row %d of %d into %d values where %d are needed", r, rows, have, want))
	}
}

// checkProduct panics where rows r0..r1-1 are not all of the matrix's, or their products
// with n rows of activations not all in dst: kernels are handed addresses and do not stop
// at the end of a slice.
func checkProduct(name string, dst []float32, stride, rows, r0, r1, n int) {
	if n > 0 && r0 < r1 && (r0 < 0 || r1 > rows || stride < 0 || len(dst) < (n-1)*stride+r1) {
		panic(fmt.Sprintf("quantkern: %s: rows %d to %d of %d times %d rows of activations into %d values, %d apart",
			name, r0, r1, rows, n, len(dst), stride))
	}
}

// f16At reads the half that many blocks begin or end with.
func f16At(b []byte) float32 { return F16ToF32(binary.LittleEndian.Uint16(b)) }

// codecs holds every type, in the order of ggml's type numbers.
var codecs = slices.Concat(floatCodecs, simpleCodecs, superCodecs, ternaryCodecs)
