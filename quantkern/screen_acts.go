package quantkern

import (
	"fmt"
	"math"
)

// ScreenActs are rows of activations, rounded for Screen: to 16 bits by
// Quantize, to 8 by QuantizeCoarse. The zero value is ready for Reset. Rows
// may be filled concurrently.
type ScreenActs struct {
	rows, cols, stride int
	fine               []int16
	coarse             []int8
	split              []byte    // instead of both, for a Screen in place (see putSplit)
	chunks             int       // of a row of split, or 0
	sums               []int32   // 128·Σ of each coarse row
	widths             []float32 // α and β of each fine row (see Screen)
	coarseWidths       []float32
	steps, coarseSteps []float32 // t of each row
}

// Reset makes room for rows × cols values, whose contents are undefined.
func (a *ScreenActs) Reset(rows, cols int) {
	a.rows, a.cols, a.chunks = rows, cols, 0
	a.stride = (cols + screenChunk - 1) / screenChunk * screenChunk
	a.fine = grow(a.fine, rows*a.stride)
	a.coarse = grow(a.coarse, rows*a.stride)
	a.sums = grow(a.sums, rows)
	a.widths = grow(a.widths, 2*rows)
	a.coarseWidths = grow(a.coarseWidths, 2*rows)
	a.steps = grow(a.steps, rows)
	a.coarseSteps = grow(a.coarseSteps, rows)
}

// ResetFor is Reset for rows that s bounds.
func (a *ScreenActs) ResetFor(s *Screen, rows int) {
	if s.nibbles == nil {
		a.Reset(rows, s.cols)
		return
	}
	a.rows, a.cols, a.chunks = rows, s.cols, s.chunks
	a.split = grow(a.split, rows*s.chunks*splitBytes)
	a.widths = grow(a.widths, 2*rows)
	a.steps = grow(a.steps, rows)
}

// Bytes is the memory held.
func (a *ScreenActs) Bytes() int {
	return 2*cap(a.fine) + cap(a.coarse) + cap(a.split) +
		4*(cap(a.sums)+cap(a.widths)+cap(a.coarseWidths)+cap(a.steps)+cap(a.coarseSteps))
}

// Quantize fills row i from x (len cols). False means that x has no useful
// bounds (not finite, zero, tiny or huge); the row counts as zero then and its
// bounds mean nothing.
//
// The step t is the smallest for which neither |y| exceeds 32767 nor Σ|y|·127
// exceeds int32: however many columns there are, no dot overflows.
func (a *ScreenActs) Quantize(i int, x []float32) bool {
	if a.chunks > 0 {
		return a.quantizeSplit(i, x)
	}
	y := a.fine[i*a.stride : (i+1)*a.stride]
	clear(y)
	t, ok := a.round(x, actMost, 0, a.widths[2*i:2*i+2], func(j int, q float64) { y[j] = int16(q) })
	a.steps[i] = t
	return ok
}

// QuantizeCoarse is Quantize with |y| ≤ 127, for UpperCoarse.
func (a *ScreenActs) QuantizeCoarse(i int, x []float32) bool {
	y := a.coarse[i*a.stride : (i+1)*a.stride]
	clear(y)
	sum := int32(0)
	t, ok := a.round(x, codeMost, 0, a.coarseWidths[2*i:2*i+2], func(j int, q float64) {
		y[j] = int8(q)
		sum += int32(q)
	})
	a.coarseSteps[i] = t
	a.sums[i] = (codeMost + 1) * sum // modulo 2^32, like the dots that it corrects
	return ok
}

// Step is the unit of the bounds of row i.
func (a *ScreenActs) Step(i int) float32 { return a.steps[i] }

// CoarseStep is Step of UpperCoarse.
func (a *ScreenActs) CoarseStep(i int) float32 { return a.coarseSteps[i] }

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

// Upper bounds the products of the rows of groups [g0, g1) with all rows of a,
// which was reset for s:
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
	if s.nibbles != nil {
		s.upperNibbles(dst, stride, g0, g1, a)
		return
	}
	tiles := active.screen
	for g := g0; g < g1; g++ {
		codes := s.codes[g*s.groupBytes() : (g+1)*s.groupBytes()]
		coefs := s.coefs[g*screenCoefs : (g+1)*screenCoefs]
		out := dst[(g-g0)*screenRows:]
		if len(tiles) == 0 {
			for i := range a.rows {
				screenUpper((*[screenRows]float32)(out[i*stride:]), codes, coefs, a.fine[i*a.stride:], a.widths[2*i:])
			}
			continue
		}
		for i := 0; i < a.rows; {
			n := min(len(tiles), a.rows-i)
			_ = out[(i+n-1)*stride+screenRows-1]
			tiles[n-1](&out[i*stride], uintptr(4*stride), &codes[0], &a.fine[i*a.stride], uintptr(2*a.stride), uintptr(s.chunks), &coefs[0], &a.widths[2*i])
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
	bound(dst, &dots, coefs, widths)
}

// Coarse tells whether UpperCoarse is the faster way to bound the products of
// several activation rows. A Screen in place has no other than Upper.
func (s *Screen) Coarse() bool { return s.nibbles == nil && len(active.coarse) > 0 }

// UpperCoarse is Upper with the rows that QuantizeCoarse filled: the products
// are cheaper than with 16 bits, the bounds wider.
func (s *Screen) UpperCoarse(dst []float32, stride, g0, g1 int, a *ScreenActs) {
	if a.cols != s.cols {
		panic(fmt.Sprintf("quantkern: Screen.UpperCoarse: rows of %d activations for rows of %d weights", a.cols, s.cols))
	}
	tiles, size := active.coarse, s.groupBytes()
	if len(tiles) == 0 {
		for g := g0; g < g1; g++ {
			for i := range a.rows {
				coarseUpper((*[screenRows]float32)(dst[i*stride+(g-g0)*screenRows:]), s.codes[g*size:(g+1)*size],
					s.coefs[g*screenCoefs:], a.coarse[i*a.stride:], a.coarseWidths[2*i:])
			}
		}
		return
	}
	// A few activation rows stay in the first cache while the groups pass by.
	// What comes after these groups is fetched meanwhile, evenly: a queue of
	// misses would hold up the products. Where all activations stay there, groups
	// pass one by one and need no other cache.
	passes := (a.rows + len(tiles) - 1) / len(tiles)
	near := a.rows*a.stride+2*size <= firstCache
	block := g1 - g0
	if near {
		tiles, block = active.coarseNear, 1
	}
	step := uintptr((screenGroup + passes - 1) / passes)
	for b0 := g0; b0 < g1; b0 += block {
		for i, pass := 0, 0; i < a.rows; pass++ {
			n := (a.rows - i + passes - pass - 1) / (passes - pass)
			_ = dst[(i+n-1)*stride+(g1-g0)*screenRows-1]
			for g := b0; g < b0+block; g++ {
				next := g*size + prefetchRow
				if near || passes > 1 {
					next = (b0+block)*size + (pass*block+g-b0)*size/passes
				}
				next = min(next, len(s.codes)-1)
				tiles[n-1](&dst[i*stride+(g-g0)*screenRows], uintptr(4*stride), &s.codes[g*size], &a.coarse[i*a.stride], uintptr(a.stride),
					uintptr(s.chunks), &s.codes[next], step, &a.sums[i], &s.coefs[g*screenCoefs], &a.coarseWidths[2*i])
			}
			i += n
		}
	}
}

// firstCache is how much may be expected to stay in the first cache.
const firstCache = 44 << 10

// coarseUpper is the reference of the coarse tiles, for one activation row.
func coarseUpper(dst *[screenRows]float32, codes []int8, coefs []float32, y []int8, widths []float32) {
	var dots [screenRows]int32
	for c := 0; c < len(codes)/screenGroup; c++ {
		ys := (*[screenChunk]int8)(y[c*screenChunk:])
		for r := range dots {
			w := (*[screenChunk]int8)(codes[c*screenGroup+r*screenChunk:])
			var sum int32
			for j, q := range w {
				sum += int32(q) * int32(ys[j])
			}
			dots[r] += sum
		}
	}
	bound(dst, &dots, coefs, widths)
}

// bound turns the dots of a group into upper bounds.
func bound(dst *[screenRows]float32, dots *[screenRows]int32, coefs, widths []float32) {
	for r, d := range dots {
		e := float32(coefs[screenRows+r]*widths[0]) + float32(coefs[2*screenRows+r]*widths[1])
		dst[r] = float32(float32(d)*coefs[r]) + e
	}
}

// lower is the lower bound of row r with an activation row of these widths,
// whose upper bound is known.
func (s *Screen) lower(r int, upper float32, widths []float32) float32 {
	if s.nibbles != nil {
		return upper - 2*float32(s.coefs[r]*widths[1])
	}
	coefs := s.coefs[r/screenRows*screenCoefs+r%screenRows:]
	e := float32(coefs[screenRows]*widths[0]) + float32(coefs[2*screenRows]*widths[1])
	return upper - 2*e
}
