package quantkern

import (
	"fmt"
	"math"
)

// ScreenActs are rows of activations, rounded for Screen: to 16 bits by
// Quantize, to 8 by QuantizeCoarse. The zero value is ready for Reset. Rows
// may be filled concurrently.
type ScreenActs struct {
	rows, cols   int
	fine, coarse screenRowsOf
	split        []byte // instead of both, for a Screen in place (see putSplit)
	chunks       int    // of a row of split, or 0
}

// screenRowsOf are activation rows of one precision: int8 in their order or in tiles, of 16 rows and 64
// values each, four values of all rows one after the other; or int16, of
// which each chunk has the 32 values of even places first and then those of odd ones, so
// that words meet bytes without moving any.
type screenRowsOf struct {
	words   []int16
	bytes   []int8
	inTiles bool
	stride  int
	bases   [bitChoices][]int32 // of each row: what the products with stored codes, above zero, have too much
	widths  []float32           // α and β of each row (see Screen)
	steps   []float32           // t of each row
}

func (y *screenRowsOf) reset(rows int) {
	for i := range y.bases {
		y.bases[i] = grow(y.bases[i], rows)
	}
	y.widths = grow(y.widths, 2*rows)
	y.steps = grow(y.steps, rows)
}

func (y *screenRowsOf) held() int {
	return cap(y.bytes) + 2*cap(y.words) + 4*(cap(y.bases[0])+cap(y.bases[1])+cap(y.widths)+cap(y.steps))
}

// keep takes the step of row i and the sum of its values.
func (y *screenRowsOf) keep(i int, step float32, sum int32) {
	y.steps[i] = step
	y.bases[0][i], y.bases[1][i] = sixMost*sum, codeMiddle*sum // modulo 2^32, like the dots that they correct
}

// one is row i of words alone.
func (y *screenRowsOf) one(i int) screenRowsOf {
	o := screenRowsOf{words: y.words[i*y.stride : (i+1)*y.stride], stride: y.stride, widths: y.widths[2*i : 2*i+2], steps: y.steps[i : i+1]}
	for j := range o.bases {
		o.bases[j] = y.bases[j][i : i+1]
	}
	return o
}

// at is value j of row i.
func (y *screenRowsOf) at(i, j int) int32 {
	if y.words == nil {
		return int32(y.bytes[y.byteOf(i, j)])
	}
	return int32(y.words[i*y.stride+wordOf(j)])
}

// byteOf is the place of value j of row i among bytes.
func (y *screenRowsOf) byteOf(i, j int) int {
	if !y.inTiles {
		return i*y.stride + j
	}
	const four = 4 // values side by side
	return i/actTileRows*actTileRows*y.stride + j/screenChunk*actTile + j%screenChunk/four*(four*actTileRows) + i%actTileRows*four + j%four
}

// wordOf is the place of value j of a row of words.
func wordOf(j int) int { return j&^(screenChunk-1) + j%2*screenChunk/2 + j%screenChunk/2 }

// Reset makes room for rows × cols values, whose contents are undefined.
func (a *ScreenActs) Reset(rows, cols int) {
	a.rows, a.cols, a.chunks = rows, cols, 0
	a.fine.reset(rows)
	a.coarse.reset(rows)
	a.fine.stride = chunksOf(cols) * screenChunk
	a.coarse.stride = a.fine.stride
	a.fine.words = grow(a.fine.words, rows*a.fine.stride)
	a.coarse.inTiles = active.panels.bound != nil && rows >= leastPanelRows
	if a.coarse.inTiles {
		rows = roomInTiles(rows)
	}
	a.coarse.bytes = grow(a.coarse.bytes, rows*a.coarse.stride)
}

// ResetFor is Reset for rows that s bounds.
func (a *ScreenActs) ResetFor(s *Screen, rows int) {
	if s.nibbles == nil {
		a.Reset(rows, s.cols)
		return
	}
	a.rows, a.cols, a.chunks = rows, s.cols, s.chunks
	a.split = grow(a.split, rows*s.chunks*splitBytes)
	a.fine.reset(rows)
}

// Bytes is the memory held.
func (a *ScreenActs) Bytes() int { return cap(a.split) + a.fine.held() + a.coarse.held() }

// of are the rows that bounds of a kind read.
func (a *ScreenActs) of(b Bounds) *screenRowsOf {
	if b.Coarse {
		return &a.coarse
	}
	return &a.fine
}

// Quantize fills row i from x (len cols). False means that x has no useful
// bounds (not finite, zero, tiny or huge); the row counts as zero then and its
// bounds mean nothing.
//
// The step t is the smallest for which neither |y| exceeds 32767 nor Σ|y|·253
// exceeds int32: however many columns there are, no dot overflows.
func (a *ScreenActs) Quantize(i int, x []float32) bool {
	if a.chunks > 0 {
		return a.quantizeSplit(i, x)
	}
	y := a.fine.words[i*a.fine.stride : (i+1)*a.fine.stride]
	clear(y)
	sum := int32(0)
	t, ok := a.round(x, wordMost, 0, a.fine.widths[2*i:2*i+2], func(j int, q float64) {
		y[wordOf(j)] = int16(q)
		sum += int32(q)
	})
	a.fine.keep(i, t, sum)
	return ok
}

// QuantizeCoarse is Quantize with |y| ≤ 127, for coarse bounds.
func (a *ScreenActs) QuantizeCoarse(i int, x []float32) bool {
	y := &a.coarse
	sum, put := int32(0), 0
	t, ok := a.round(x, codeMost, 0, y.widths[2*i:2*i+2], func(j int, q float64) {
		y.bytes[y.byteOf(i, j)] = int8(q)
		sum += int32(q)
		put = j + 1
	})
	for j := put; j < y.stride; j++ {
		y.bytes[y.byteOf(i, j)] = 0
	}
	y.keep(i, t, sum)
	return ok
}

// Step is the unit of the bounds of row i.
func (a *ScreenActs) Step(i int, b Bounds) float32 { return a.of(b).steps[i] }

// round hands the values of a row in steps to put and sets its widths; sums is 1
// where the dots are float sums, rounded no more often than the exact product,
// and 0 where they are exact.
func (a *ScreenActs) round(x []float32, most, sums float64, widths []float32, put func(j int, q float64)) (step float32, ok bool) {
	if len(x) != a.cols {
		panic(fmt.Sprintf("quantkern: quantizing %d values as a row of %d", len(x), a.cols))
	}
	clear(widths)
	if a.cols == 0 || absMaxBits(x) >= infBits {
		return 0, false
	}
	t, norm := screenStep(x, most)
	if !(norm >= floorActs && norm <= ceilNorm) {
		return 0, false
	}
	n := float64(len(x))
	var miss float64
	for j, v := range x {
		q := math.RoundToEven(float64(v) / t)
		d := float64(v) - float64(q*t)
		miss += float64(d * d)
		put(j, q)
	}
	miss = float64(math.Sqrt(miss) * (1 + 0x1p-30))
	m := math.Ceil(n/Lanes) + 5
	gamma := float64(m*unit) / (1 - float64(m*unit))
	const slack = 1 + 0x1p-20
	widths[0] = upward(slack * (1 + gamma) * norm / t)
	widths[1] = upward(slack * (miss + float64(gamma*norm) + float64((8*unit+float64(sums*gamma))*(norm+miss)) + float64(n*0x1p-99)) / t)
	return float32(t), true
}

// screenStep is the step t of x, a float32, for values up to most, and a bound
// of ‖x‖.
func screenStep(x []float32, most float64) (t, norm float64) {
	var top, sum, squares float64
	for _, v := range x {
		m := math.Abs(float64(v))
		top = max(top, m)
		sum += m
		squares += float64(m * m)
	}
	step := max(top/most, sum/(actBudget-float64(len(x)))) * (1 + 0x1p-30)
	return float64(upward(step)), math.Sqrt(squares) * (1 + 0x1p-30)
}
