package quantkern

import "math"

// Which tiles a TL1 or TL2 matrix has, where neither its file nor a single
// preset says it. Any tiles give valid trits, so it is the numbers that tell:
// in trained weights some rows and some columns have more zeros than others, and
// wrong tiles mix rows and columns, which evens that out.

// FitTiles is the codec with the tiles that the packed matrix seems to have:
// those that Lookup was given, the only preset of its shape, or of several candidates
// the one under which rows and columns differ most. sure is how many standard
// deviations it is ahead of the next (+∞ where no other is possible), 0 where nothing was to be decided; below FitSure it is a guess,
// and the likeliest by TilesFor is taken instead. data has Size bytes.
func (c *Codec) FitTiles(data []byte, rows, cols int) (fit *Codec, sure float64) {
	if !c.tiled() || c.trits.tile != (Tile{}) || rows == 0 || cols == 0 {
		return c, 0
	}
	all := c.candidates(rows, cols)
	if len(all) < 2 {
		return c, 0
	}
	best, first, second := 0, math.Inf(-1), math.Inf(-1)
	for i, t := range all {
		switch s := c.withTile(t).unevenness(data, rows, cols); {
		case s > first:
			best, first, second = i, s, first
		case s > second:
			second = s
		}
	}
	switch sure = first - second; {
	case math.IsInf(first, -1):
		sure = 0 // a damaged matrix
	case sure < FitSure:
		best = 0
	}
	return c.withTile(all[best]), sure
}

// FitSure is from where on FitTiles trusts the statistics.
const FitSure = 6

// candidates are the presets of a shape, or, where there are none, tritflow's rule
// and then everything that the format allows within usual bounds.
func (c *Codec) candidates(rows, cols int) []Tile {
	all := c.TilesFor(rows, cols)
	presets := tl1Presets
	inner, columns := []int{32, 64}, []int{32, 64, 96, 128}
	if c.trits.order == triples {
		presets, inner, columns = tl2Presets, []int{32}, []int{96, 192, 288, 384}
	}
	if presets[shape{rows, cols}] != nil {
		return all
	}
	for _, bm := range []int{32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 512, 640} {
		for _, bk := range columns {
			for _, in := range inner {
				t := Tile{BM: bm, BK: bk, Inner: in}
				if c.trits.illegal(t, rows, cols) == "" && (len(all) == 0 || t != all[0]) {
					all = append(all, t)
				}
			}
		}
	}
	return all
}

// unevenness is −∞ where some indices stand for nothing, as they do when pairs
// are read where triples lie, and otherwise by how many standard deviations the numbers of zeros of rows and of
// columns scatter more than those of a matrix whose zeros lie anywhere.
func (c *Codec) unevenness(data []byte, rows, cols int) float64 {
	if m := (&Ternary{Codec: c, Rows: rows, Cols: cols, Data: data}); m.undefinedTiles() > 0 {
		return math.Inf(-1)
	}
	return Unevenness(rows, cols, func(dst []int8, r int) { c.span(dst, data, rows, cols, r, 0) })
}

// Unevenness is by how many standard deviations the numbers of zeros of the
// rows and columns of a matrix of trits scatter more than they would if zeros
// lay anywhere: rows and columns of trained weights do, mixed up ones do not.
func Unevenness(rows, cols int, trits func(dst []int8, r int)) float64 {
	row, byRow, byCol := make([]int8, cols), make([]float64, rows), make([]float64, cols)
	total := 0.0
	for r := range rows {
		trits(row, r)
		for i, t := range row {
			if t == 0 {
				byRow[r]++
				byCol[i]++
			}
		}
		total += byRow[r]
	}
	p := total / float64(rows*cols)
	if !(p > 0 && p < 1) {
		return 0
	}
	// How many zeros a row and a column have where these lie anywhere.
	inRow, inCol := float64(float64(cols)*p), float64(float64(rows)*p)
	return scatter(byRow, inRow, float64(inRow*(1-p))) + scatter(byCol, inCol, float64(inCol*(1-p)))
}

// scatter compares the squared distances from the mean with their expectation.
func scatter(counts []float64, mean, variance float64) float64 {
	chi := 0.0
	for _, n := range counts {
		chi += (n - mean) * (n - mean) / variance
	}
	n := float64(len(counts))
	return (chi - n) / math.Sqrt(2*n)
}
