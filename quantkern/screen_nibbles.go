package quantkern

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Rows of Q4_0 are half as long as those of a copy in 8 bits would be. They are
// bounded where they lie: nothing is missed of the weights (E = 0 in Screen's
// bound), so all that is kept of a row is its norm N ≥ ‖w‖. In place of the exact
// dot stands a float sum S (nibbleDot) of exact integers times scales. It is
// rounded n/128+5 times on the longest way, no more often than the exact
// product is, and nothing in it is denormal, so with that product's γ
//
//	|S − w·x̂/t| ≤ γ·‖w‖‖x̂‖/t ≤ γ·N(‖x‖+‖x−x̂‖)/t
//
// which β takes up beside the rest (ScreenActs.round).
//
// Four blocks of 32 values make a chunk. Its activations y lie split in the
// order of the nibbles, for position p = 0…63 of these (block p/16 of the chunk,
// byte p%16 of its codes): high·256 + low = y, both int8, of the low nibbles
// (value 32·(p/16) + p%16) and of the high ones (sixteen values on).
//
//	bytes   0 …  63  high, low nibbles     128 … 191  low, low nibbles
//	       64 … 127  high, high nibbles    192 … 255  low, high nibbles
//	      256 … 319  per lane l = p/4: −8·Σ of its eight values, int32
//
// With nibbles q+8, lane l of a chunk holds eight products, whose sum is an
// integer below 2^22: exact in int32 and as float32.
const (
	nibbleBlocks = 4
	nibbleValues = 32
	nibbleBytes  = 18 // of a block: f16 scale, 16 bytes of nibbles
	splitValues  = nibbleBlocks * nibbleValues
	splitHalf    = 64 // bytes of a half of a chunk
	splitBase    = 4 * splitHalf
	splitBytes   = splitBase + 4*Lanes

	splitMost = 127<<8 + 127 // the largest |y| whose high part is an int8
)

// ScreensInPlace tells whether there are kernels that bound the products of
// rows of cols values of a type where they lie (NewScreenInPlace).
func ScreensInPlace(c *Codec, cols int) bool {
	return len(active.nibbles) > 0 && nibblesFit(c, cols)
}

func nibblesFit(c *Codec, cols int) bool {
	return c.Name == "Q4_0" && cols > 0 && cols%splitValues == 0
}

// NewScreenInPlace is NewScreen for a matrix whose rows are bounded where they
// lie, in data; Fill reads their norms. The error (ErrUnscreenable) says that
// the type or width does not allow it.
func NewScreenInPlace(c *Codec, data []byte, rows, cols int) (*Screen, error) {
	if !nibblesFit(c, cols) || rows < 1 || len(data) < c.Size(rows, cols) {
		return nil, fmt.Errorf("quantkern: %w in place: %d rows of %d values of type %s in %d bytes; rows of Q4_0, a multiple of %d values",
			ErrUnscreenable, rows, cols, c.Name, len(data), splitValues)
	}
	s := &Screen{rows: rows, cols: cols, chunks: cols / splitValues, nibbles: data}
	s.norms = make([]float32, s.Groups()*screenRows)
	return s, nil
}

// InPlace tells whether the rows are bounded where they lie.
func (s *Screen) InPlace() bool { return s.nibbles != nil }

// ScreenInPlaceBytes is the memory that a Screen in place takes for so many
// rows.
func ScreenInPlaceBytes(rows int) int {
	return 4 * screenRows * ((rows + screenRows - 1) / screenRows)
}

// setNorm keeps the norm of row r, rounded up; false means that its values have
// no bounds.
func (s *Screen) setNorm(r int, w []float32) bool {
	if absMaxBits(w) >= infBits {
		return false
	}
	// The squares are rounded to float32.
	n := float64(math.Sqrt(sumSquares(w)) * (1 + 0x1p-22))
	s.norms[r] = upward(max(n, floorNorm))
	return true
}

// quantizeSplit is Quantize for a Screen in place, |y| ≤ 32639.
func (a *ScreenActs) quantizeSplit(i int, x []float32) bool {
	size := a.chunks * splitBytes
	split := a.split[i*size : (i+1)*size]
	clear(split)
	t, ok := a.round(x, splitMost, 1, a.fine.widths[2*i:2*i+2], func(j int, q float64) { putSplit(split, j, int32(q)) })
	a.fine.steps[i] = t
	return ok
}

// putSplit puts value j of a row of activations, y, in its places.
func putSplit(split []byte, j int, y int32) {
	chunk := split[j/splitValues*splitBytes:][:splitBytes]
	j %= splitValues
	p := j/nibbleValues*16 + j%16
	half := j % nibbleValues / 16 * splitHalf
	high := (y + 128) >> 8
	chunk[half+p] = byte(high)
	chunk[2*splitHalf+half+p] = byte(y - high<<8)
	base := chunk[splitBase+4*(p/4):]
	binary.LittleEndian.PutUint32(base, binary.LittleEndian.Uint32(base)-uint32(8*y))
}

// upperNibbles is Upper for rows where they lie.
func (s *Screen) upperNibbles(dst []float32, stride, g0, g1 int, a *ScreenActs) {
	row, acts := s.chunks*nibbleBlocks*nibbleBytes, a.chunks*splitBytes
	tiles := active.nibbles
	for g := g0; g < g1; g++ {
		out, first := dst[(g-g0)*screenRows:], g*screenRows
		if len(tiles) == 0 || first+screenRows > s.rows {
			for i := range a.rows {
				for r := range min(screenRows, s.rows-first) {
					sum := nibbleDot(s.nibbles[(first+r)*row:][:row], a.split[i*acts:][:acts])
					out[i*stride+r] = sum + float32(s.norms[first+r]*a.fine.widths[2*i+1])
				}
			}
			continue
		}
		_ = s.nibbles[(first+screenRows)*row-1]
		for i := 0; i < a.rows; {
			n := min(len(tiles), a.rows-i)
			_ = out[(i+n-1)*stride+screenRows-1]
			tiles[n-1](&out[i*stride], uintptr(4*stride), &s.nibbles[first*row], uintptr(row), &a.split[i*acts], uintptr(acts),
				uintptr(s.chunks), &s.norms[first], &a.fine.widths[2*i])
			i += n
		}
	}
}

// nibbleDot is the reference of the tiles, for one row of weights and one of
// activations, without the width: each lane's integers are exact, the products
// with the blocks' scales are rounded and added up a chunk after the other, and
// the lanes are combined.
func nibbleDot(w, split []byte) float32 {
	var acc [Lanes]float32
	for c := range len(split) / splitBytes {
		y := split[c*splitBytes:][:splitBytes]
		for l := range acc {
			block := w[(c*nibbleBlocks+l/4)*nibbleBytes:][:nibbleBytes]
			dot := int32(binary.LittleEndian.Uint32(y[splitBase+4*l:]))
			for p := 4 * l; p < 4*l+4; p++ {
				q := block[2+p%16]
				dot += int32(q&15)*splitAt(y, p) + int32(q>>4)*splitAt(y, splitHalf+p)
			}
			acc[l] += float32(float32(dot) * f16At(block))
		}
	}
	return combine(&acc)
}

// splitAt is the activation whose high part is at p.
func splitAt(y []byte, p int) int32 {
	return int32(int8(y[p]))<<8 + int32(int8(y[2*splitHalf+p]))
}
