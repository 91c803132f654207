package quantkern

import (
	"fmt"
	"math"
)

// ScreenActs are rows of activations, rounded to 16 bits for Screen. The zero
// value is ready for Reset. Rows may be filled concurrently.
type ScreenActs struct {
	rows, cols, stride int
	y                  []int16
	widths             []float32 // α and β of each row (see Screen)
}

// Reset makes room for rows × cols values, whose contents are undefined.
func (a *ScreenActs) Reset(rows, cols int) {
	a.rows, a.cols = rows, cols
	a.stride = (cols + screenChunk - 1) / screenChunk * screenChunk
	a.y = grow(a.y, rows*a.stride)
	a.widths = grow(a.widths, 2*rows)
}

// Bytes is the memory held.
func (a *ScreenActs) Bytes() int { return 2*cap(a.y) + 4*cap(a.widths) }

// Quantize fills row i from x (len cols). False means that x has no useful
// bounds (not finite, zero, tiny or huge); the row counts as zero then and its
// bounds mean nothing.
//
// The step t is the smallest for which neither |y| exceeds 32767 nor Σ|y|·127
// exceeds int32: however many columns there are, no dot overflows.
func (a *ScreenActs) Quantize(i int, x []float32) bool {
	if len(x) != a.cols {
		panic(fmt.Sprintf("quantkern: quantizing %d values as a row of %d", len(x), a.cols))
	}
	y := a.y[i*a.stride : (i+1)*a.stride]
	widths := a.widths[2*i : 2*i+2]
	clear(y)
	clear(widths)
	if a.cols == 0 || absMaxBits(x) >= infBits {
		return false
	}
	t, norm := screenStep(x)
	if !(norm >= floorActs && norm <= ceilNorm) {
		return false
	}
	n := float64(len(x))
	var miss float64
	for j, v := range x {
		q := math.RoundToEven(float64(v) / t)
		d := float64(v) - float64(q*t)
		miss += float64(d * d)
		y[j] = int16(q)
	}
	miss = float64(math.Sqrt(miss) * (1 + 0x1p-30))
	m := math.Ceil(n/Lanes) + 5
	gamma := float64(m*unit) / (1 - float64(m*unit))
	const slack = 1 + 0x1p-20
	widths[0] = upward(slack * (1 + gamma) * norm / t)
	widths[1] = upward(slack * (miss + float64(gamma*norm) + float64(8*unit*(norm+miss)) + float64(n*0x1p-99)) / t)
	return true
}

// screenStep is the step t of x, a float32, and a bound of ‖x‖.
func screenStep(x []float32) (t, norm float64) {
	var top, sum, squares float64
	for _, v := range x {
		m := math.Abs(float64(v))
		top = max(top, m)
		sum += m
		squares += float64(m * m)
	}
	step := max(top/actMost, sum/(actBudget-float64(len(x)))) * (1 + 0x1p-30)
	return float64(upward(step)), math.Sqrt(squares) * (1 + 0x1p-30)
}

// Upper bounds the products of the rows of groups [g0, g1) with all rows of a:
// in units of each activation row's own step,
//
//	dst[i*stride + r − 4·g0] ≥ (row r) · (activation row i)
//
// for rows 4·g0 ≤ r < 4·g1; those past the last row of the matrix are written
// and mean nothing.
func (s *Screen) Upper(dst []float32, stride, g0, g1 int, a *ScreenActs) {
	if a.cols != s.cols {
		panic(fmt.Sprintf("quantkern: Screen.Upper: rows of %d activations for rows of %d weights", a.cols, s.cols))
	}
	tiles := active.screen
	for g := g0; g < g1; g++ {
		codes := s.codes[g*s.groupBytes() : (g+1)*s.groupBytes()]
		coefs := s.coefs[g*screenCoefs : (g+1)*screenCoefs]
		out := dst[(g-g0)*screenRows:]
		if len(tiles) == 0 {
			for i := range a.rows {
				screenUpper((*[screenRows]float32)(out[i*stride:]), codes, coefs, a.y[i*a.stride:], a.widths[2*i:])
			}
			continue
		}
		for i := 0; i < a.rows; {
			n := min(len(tiles), a.rows-i)
			_ = out[(i+n-1)*stride+screenRows-1]
			tiles[n-1](&out[i*stride], uintptr(4*stride), &codes[0], &a.y[i*a.stride], uintptr(2*a.stride), uintptr(s.chunks), &coefs[0], &a.widths[2*i])
			i += n
		}
	}
}

// screenUpper is the reference of the tiles, for one activation row.
func screenUpper(dst *[screenRows]float32, codes []int8, coefs []float32, y []int16, widths []float32) {
	var dots [screenRows]int32
	for c := 0; c < len(codes)/screenGroup; c++ {
		ys := (*[screenChunk]int16)(y[c*screenChunk:])
		for r := range dots {
			w := (*[screenChunk]int8)(codes[c*screenGroup+r*screenChunk:])
			var sum int32
			for j, q := range w {
				sum += int32(q) * int32(ys[j])
			}
			dots[r] += sum
		}
	}
	for r, d := range dots {
		e := float32(coefs[screenRows+r]*widths[0]) + float32(coefs[2*screenRows+r]*widths[1])
		dst[r] = float32(float32(d)*coefs[r]) + e
	}
}

// lower is the lower bound of row r with activation row i, whose upper bound
// is known.
func (s *Screen) lower(r, i int, upper float32, a *ScreenActs) float32 {
	coefs := s.coefs[r/screenRows*screenCoefs+r%screenRows:]
	e := float32(coefs[screenRows]*a.widths[2*i]) + float32(coefs[2*screenRows]*a.widths[2*i+1])
	return upper - 2*e
}
