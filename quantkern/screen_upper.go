package quantkern

import "fmt"

// Upper bounds the products of the rows of groups [g0, g1) with all rows of a,
// which was reset for s:
// in units of each activation row's own step,
//
//	dst[i*stride + r − 4·g0] ≥ (row r) · (activation row i)
//
// for rows 4·g0 ≤ r < 4·g1; those past the last row of the matrix are written
// and mean nothing.
func (s *Screen) Upper(dst []float32, stride, g0, g1 int, a *ScreenActs, b Bounds) {
	if a.cols != s.cols {
		panic(fmt.Sprintf("quantkern: Screen.Upper: rows of %d activations for rows of %d weights", a.cols, s.cols))
	}
	if s.nibbles != nil {
		s.upperNibbles(dst, stride, g0, g1, a)
		return
	}
	at, y := b.choice(), a.of(b)
	tiles, most := active.screens[at], len(active.screens[at].fine)
	if b.Coarse {
		most = len(tiles.coarse)
	}
	switch {
	case most == 0:
		for g := g0; g < g1; g++ {
			six, low := s.planes(g)
			for i := range a.rows {
				screenUpper((*[screenRows]float32)(dst[i*stride+(g-g0)*screenRows:]), six, low, s.coefs[at][g*screenCoefs:], y, i, b.Bits)
			}
		}
	case y.inTiles:
		_ = dst[(a.rows-1)*stride+(g1-g0)*screenRows-1]
		active.panels.bound(dst, stride, s, g0, g1, y, a.rows)
	case b.Coarse:
		s.upperCoarse(dst, stride, g0, g1, a.rows, y, b)
	default:
		for g := g0; g < g1; g++ {
			six, low := s.planes(g)
			out := dst[(g-g0)*screenRows:]
			for i := 0; i < a.rows; {
				n := min(most, a.rows-i)
				_ = out[(i+n-1)*stride+screenRows-1]
				tiles.fine[n-1](&out[i*stride], uintptr(4*stride), &six[0], &low[0], &y.words[i*y.stride], uintptr(2*y.stride), uintptr(s.chunks),
					&y.bases[at][i], &s.coefs[at][g*screenCoefs], &y.widths[2*i])
				i += n
			}
		}
	}
}

// screenUpper is the reference of the tiles, for activation row i.
func screenUpper(dst *[screenRows]float32, six, low []byte, coefs []float32, y *screenRowsOf, i, bits int) {
	var dots [screenRows]int32
	var v [screenRows][screenChunk]int32
	for c := range len(six) / sixBytes {
		factors(&v, six, low, c, bits)
		for j := range screenChunk {
			x := y.at(i, c*screenChunk+j)
			for r := range dots {
				dots[r] += v[r][j] * x
			}
		}
	}
	for r, d := range dots {
		dst[r] = float32(float32(d)*coefs[r]) + halfWidth(coefs[r:], y.widths[2*i:])
	}
}

// halfWidth is half the distance of the bounds of a row, whose coefficients come first.
func halfWidth(coefs, widths []float32) float32 {
	return float32(coefs[screenRows]*widths[0]) + float32(coefs[2*screenRows]*widths[1])
}

// lower is the lower bound of row r with an activation row of these widths,
// whose upper bound is known.
func (s *Screen) lower(r int, upper float32, widths []float32, b Bounds) float32 {
	if s.nibbles != nil {
		return upper - 2*float32(s.norms[r]*widths[1])
	}
	return upper - 2*halfWidth(s.coefs[b.choice()][r/screenRows*screenCoefs+r%screenRows:], widths)
}

// Coarse tells whether coarse bounds of all bits are the faster way to bound the products
// of many activation rows. A Screen in place has none.
func (s *Screen) Coarse() bool { return s.nibbles == nil && len(active.screens[1].coarse) > 0 }

// upperCoarse is Upper with coarse tiles.
func (s *Screen) upperCoarse(dst []float32, stride, g0, g1, rows int, y *screenRowsOf, b Bounds) {
	at := b.choice()
	tiles, size := active.screens[at].coarse, s.chunks*(sixBytes+lowBytes)
	// A few activation rows stay in the first cache while the groups pass by.
	// What comes after these groups is fetched meanwhile, evenly: a queue of
	// misses would hold up the products. Where all activations stay there, groups
	// pass one by one and need no other cache.
	passes := (rows + len(tiles) - 1) / len(tiles)
	near := rows*y.stride+2*size <= firstCache
	block := g1 - g0
	if near {
		tiles, block = active.screens[at].coarseNear, 1
	}
	chunks := s.chunks * s.Groups()
	step := (lowBytes + passes - 1) / passes
	for b0 := g0; b0 < g1; b0 += block {
		for i, pass := 0, 0; i < rows; pass++ {
			n := (rows - i + passes - pass - 1) / (passes - pass)
			_ = dst[(i+n-1)*stride+(g1-g0)*screenRows-1]
			for g := b0; g < b0+block; g++ {
				next := g*s.chunks + prefetchRow/(sixBytes+lowBytes)
				if near || passes > 1 {
					next = (b0+block)*s.chunks + (pass*block+g-b0)*s.chunks/passes
				}
				next = min(next, chunks-1)
				six, low := s.planes(g)
				tiles[n-1](&dst[i*stride+(g-g0)*screenRows], uintptr(4*stride), &six[0], &low[0], &y.bytes[i*y.stride], uintptr(y.stride),
					uintptr(s.chunks), &s.six[next*sixBytes], &s.low[next*lowBytes], uintptr(step), &y.bases[at][i], &s.coefs[at][g*screenCoefs], &y.widths[2*i])
			}
			i += n
		}
	}
}

// firstCache is how much may be expected to stay in the first cache.
const firstCache = 44 << 10
