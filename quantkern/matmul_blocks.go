package quantkern

import "unsafe"

// Products of matrices whose blocks have scales of their own, with the kernels
// of I2_S: one call for each half chunk of 128 columns gives four rows' exact
// dots, which are scaled and added here in the order of MulTernary. For that the copy
// (Repack) has its codes in I2_S's order and its scales apart, and the
// activations of each half chunk stand in a chunk of their own.

// scaledCopy tells a copy that mulBlocks multiplies.
func (t *Ternary) scaledCopy() bool { return t.blockScales != nil }

// scaleGroup is how many values of a row one scale of a matrix serves.
func (t *Ternary) scaleGroup() int {
	if t.scaledCopy() {
		return t.group
	}
	return t.Codec.BlockValues
}

// gainsFromBlocks tells matrices that mulBlocks is faster for: with a scale for
// each 128 or 256 values.
func (t *Ternary) gainsFromBlocks() bool {
	_, i2s := active.tiles["I2_S"]
	c := t.Codec
	return i2s && !t.Uniform && !t.scaledCopy() && c.BlockBytes > 0 && c.head == 0 &&
		c.BlockValues%halfCodes == 0 && t.Rows > 0 && t.Cols > 0
}

// halfActs are activation rows with each 128 values in a chunk of their own.
type halfActs struct {
	q      []int8
	sum    []int32 // of half h of row i at h×n + i
	ones   []float32
	stride int // of a row in q
	dots   [maxTile][4]float32
}

// take fills the halves from n rows of activations, of row first and following: no
// more than a tile takes, so that scratch memory stays small.
func (h *halfActs) take(a *Acts, first, n int, buf []int8) {
	parts := a.cols / halfCodes
	h.stride = parts * chunkCodes
	h.q, h.sum, h.ones = grow(h.q, n*h.stride), grow(h.sum, n*parts), grow(h.ones, n)
	for i := range n {
		h.ones[i] = 1
		row := a.natural(first+i, buf)
		q := h.q[i*h.stride:][:h.stride]
		clear(q)
		for half := range parts {
			part := row[half*halfCodes:][:halfCodes]
			copy(q[half*chunkCodes:], part)
			sum := int32(0)
			for _, v := range part {
				sum += int32(v)
			}
			h.sum[half*n+i] = sum
		}
		if active.paired {
			permute(q, func(place int) int { return 2*(place%4) + place/4 })
		}
	}
}

func (h *halfActs) bytes() int { return cap(h.q) + 4*(cap(h.sum)+cap(h.ones)) }

// mulBlocks multiplies whole groups of four rows and returns the first row that
// is left.
func mulBlocks(dst []float32, stride int, w *Ternary, r0, r1 int, a *Acts, scratch *Scratch) int {
	end := r0 + (r1-r0)&^3
	if end == r0 {
		return r0
	}
	t := active.tiles["I2_S"]
	h := &scratch.halves
	scratch.trits = grow(scratch.trits, a.stride)
	rowBytes, blocks := w.Cols/4, w.Cols/w.group
	for i := 0; i < a.rows; {
		tile, n := t.pick(a.rows - i)
		h.take(a, i, n, scratch.trits)
		for r := r0; r < end; r += 4 {
			var sums [maxTile][4]float32
			for b := range blocks {
				var whole [maxTile][4]float32
				for part := range w.group / halfCodes {
					half := b*(w.group/halfCodes) + part
					tile(&h.dots[0][0], unsafe.Sizeof(h.dots[0]), &w.Data[r*rowBytes+half*halfCodes/4], uintptr(rowBytes),
						&h.q[half*chunkCodes], uintptr(h.stride), 0, 1, &h.sum[half*n], &h.ones[0], 1, nil, 0)
					for j := range n {
						for k, d := range h.dots[j] {
							whole[j][k] += d // integers, exact
						}
					}
				}
				for k := range 4 {
					scale := w.blockScales[(r+k)*blocks+b]
					for j := range n {
						sums[j][k] += float32(whole[j][k] * scale)
					}
				}
			}
			for j := range n {
				for k, sum := range sums[j] {
					dst[(i+j)*stride+r+k] = sum / a.scale[i+j]
				}
			}
		}
		i += n
	}
	return end
}

// maxTile is the most activation rows that a tile takes.
const maxTile = 8
