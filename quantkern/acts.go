package quantkern

import (
	"fmt"
	"math"
)

// Codes are read by the vector kernels in chunks of 256 (64 bytes) and at the
// end a half of one.
const (
	chunkCodes = 256
	halfCodes  = chunkCodes / 2
	laneCodes  = 32
)

// Acts are rows of activations, quantized for MulTernary: per row int8 values,
// their sum and their scale. The zero value is ready for Reset. Rows may be
// filled concurrently.
//
// The order of the values in memory belongs to the tier. Plain Go and most
// others keep them as they are. A 512-bit load of I2_S or TQ2_0 codes covers
// two groups of 128, so where the tier is paired, the quarters of two
// neighbouring groups lie side by side:
//
//	natural   a0 a1 a2 a3 b0 b1 b2 b3      (each 32 values)
//	paired    a0 b0 a1 b1 a2 b2 a3 b3
//
// For tile registers, and from leastPanelRows on, each 64 values of that lie with those of
// fifteen other rows: value 64k+j of row 16g+i at 16·stride·g + 1024k + 64i + j.
type Acts struct {
	rows, cols, stride int
	tiled              bool
	q                  []int8
	scale              []float32
	sum                []int32
}

// Reset makes room for rows × cols values, whose contents are undefined.
func (a *Acts) Reset(rows, cols int) {
	stride := (cols + chunkCodes - 1) / chunkCodes * chunkCodes
	a.rows, a.cols, a.stride, a.tiled = rows, cols, stride, active.panels.inTiles(rows, cols)
	room := rows
	if a.tiled {
		room = roomInTiles(rows)
	}
	a.q = grow(a.q, room*stride)
	a.scale = grow(a.scale, rows)
	a.sum = grow(a.sum, rows)
}

// Rows is the number of rows.
func (a *Acts) Rows() int { return a.rows }

// Bytes is the memory held.
func (a *Acts) Bytes() int { return cap(a.q) + 4*cap(a.scale) + 4*cap(a.sum) }

// Quantize fills row i from x (len cols), by the rule of QuantizeRow.
func (a *Acts) Quantize(i int, x []float32) {
	if len(x) != a.cols {
		panic(fmt.Sprintf("quantkern: quantizing %d values as a row of %d", len(x), a.cols))
	}
	if active.quantize == nil || a.cols == 0 || a.cols%halfCodes != 0 {
		a.scale[i] = QuantizeRow(a.row(i)[:a.cols], x)
		a.arrange(i)
		return
	}
	tail := a.cols / halfCodes % 2
	s, ok := scaleFor(active.absMaxBits(&x[0], uintptr(a.cols/Lanes)))
	a.scale[i], a.sum[i] = s, 0
	if !ok {
		a.clear(i, 0)
		return
	}
	if tail == 1 {
		a.clear(i, a.stride-chunkCodes)
	}
	quantize := active.quantize
	if a.tiled {
		quantize = active.panels.quantize
	}
	a.sum[i] = quantize(&a.q[a.at(i, 0)], &x[0], uintptr(a.cols/chunkCodes), uintptr(tail), s)
}

// at is where value v of row i lies, counted in the tier's order.
func (a *Acts) at(i, v int) int {
	if !a.tiled {
		return i*a.stride + v
	}
	return i/actTileRows*actTileRows*a.stride + v/tileCodes*actTile + i%actTileRows*tileCodes + v%tileCodes
}

// row is row i where rows are not in tiles.
func (a *Acts) row(i int) []int8 { return a.q[i*a.stride : (i+1)*a.stride] }

// clear zeroes row i from value v on, a multiple of a tile's.
func (a *Acts) clear(i, v int) {
	for ; v < a.stride; v += tileCodes {
		clear(a.q[a.at(i, v):][:tileCodes])
	}
}

// arrange brings row i, whose values stand in the order of the columns, into
// the tier's order and adds it up.
func (a *Acts) arrange(i int) {
	q := a.row(i)
	clear(q[a.cols:])
	a.sum[i] = 0
	for _, v := range q {
		a.sum[i] += int32(v)
	}
	if active.paired {
		permute(q, func(place int) int { return 2*(place%4) + place/4 })
	}
}

// natural returns row i in the order of the columns; buf (len stride) is used
// where the order must be put right.
func (a *Acts) natural(i int, buf []int8) []int8 {
	if !active.paired {
		return a.row(i)[:a.cols]
	}
	q := buf[:a.stride]
	for v := 0; v < a.stride; v += tileCodes {
		copy(q[v:v+tileCodes], a.q[a.at(i, v):])
	}
	permute(q, func(place int) int { return 4*(place%2) + place/2 })
	return q[:a.cols]
}

// permute moves the 32 values at each of the eight places of every chunk to
// another place.
func permute(q []int8, to func(place int) int) {
	var tmp [chunkCodes]int8
	for ; len(q) >= chunkCodes; q = q[chunkCodes:] {
		for p := range chunkCodes / laneCodes {
			copy(tmp[to(p)*laneCodes:][:laneCodes], q[p*laneCodes:])
		}
		copy(q, tmp[:])
	}
}

// scaleFor is the scale of a row whose largest magnitude has these bits; ok is
// false when the row is not finite.
func scaleFor(top uint32) (s float32, ok bool) {
	switch {
	case top > infBits:
		return float32(math.NaN()), false
	case top == infBits:
		return 0, false
	}
	return float32(127 / max(1e-5, float64(math.Float32frombits(top)))), true
}
