package quantkern

import (
	"fmt"
	"unsafe"
)

// MulTernary multiplies rows r0..r1-1 of w with all rows of a, which have
// w.Cols values:
//
//	dst[i*stride+r] = (row r of w) · (activation row i)
//
// The dots are exact int32. A uniform matrix gives float32(dot)/s × Scale, in
// that order (bitnet.cpp's I2_S), s the activation row's scale. Otherwise each
// block's dot is multiplied by the block's scale, the products, each rounded,
// are added in ascending order of the blocks, and the sum is divided by s.
//
// dst must not overlap the inputs. Ranges of r may be computed concurrently,
// each with its own scratch.
func MulTernary(dst []float32, stride int, w *Ternary, r0, r1 int, a *Acts, scratch *Scratch) {
	if a.cols != w.Cols {
		panic(fmt.Sprintf("quantkern: MulTernary: rows of %d activations for rows of %d weights", a.cols, w.Cols))
	}
	checkProduct("MulTernary", dst, stride, w.Rows, r0, r1, a.rows)
	if a.rows == 0 || r0 >= r1 {
		return
	}
	if w.scaledCopy() {
		r0 = mulBlocks(dst, stride, w, r0, r1, a, scratch)
	} else if a.tiled {
		if active.panels.takes(w) {
			mulPanels(dst, stride, w, r0, r1, a, scratch)
			return
		}
	} else if t, ok := ternaryKernels(w); ok {
		r0 = mulTiles(dst, stride, w, r0, r1, a, t)
	}
	if r0 < r1 {
		mulTernary(dst, stride, w, r0, r1, a, scratch)
	}
}

// ternaryKernels gives the tiles that read a matrix where it lies; not ok means
// plain Go on unpacked rows.
func ternaryKernels(w *Ternary) (t tiles, ok bool) {
	t, ok = active.tiles[w.Codec.Name]
	return t, ok && w.Uniform && w.Cols > 0 && w.Cols%halfCodes == 0
}

// rowBytes is the size of a row of a matrix with kernels.
func (t *Ternary) rowBytes() int {
	if t.Codec.BlockBytes > 0 {
		return t.Cols / t.Codec.BlockValues * t.Codec.BlockBytes
	}
	return t.Cols / 4
}

// pick chooses the kernel for the first of the given number of activation rows
// and says how many it takes: as equal shares as tiles allow.
func (t tiles) pick(rows int) (tile ternaryTile, n int) {
	passes := (rows + len(t.rows) - 1) / len(t.rows)
	n = (rows + passes - 1) / passes
	return t.rows[n-1], n
}

// mulTiles multiplies whole groups of four rows and returns the first row that
// is left.
func mulTiles(dst []float32, stride int, w *Ternary, r0, r1 int, a *Acts, t tiles) int {
	rowBytes := w.rowBytes()
	chunks, tail := uintptr(w.Cols/chunkCodes), uintptr(w.Cols/halfCodes%2)
	if t.row != nil && a.rows == 1 {
		for r := r0; r < r1; r++ {
			next := min(r*rowBytes+prefetchRow, len(w.Data)-1)
			t.row(&dst[r], 0, &w.Data[r*rowBytes], 0, &a.q[0], 0, chunks, tail,
				&a.sum[0], &a.scale[0], w.Scale, &w.Data[next], 0)
		}
		return r1
	}
	end := r0 + (r1-r0)&^3
	// A tile of activation rows stays in the first cache while the weights stream
	// by, at whose end the next ones are fetched where there is room for both. A few
	// tiles take turns: they pass a small block of weights one after the
	// other, and all of them fetch their part of the next block, so that reading it
	// takes as long as computing.
	passes := (a.rows + len(t.rows) - 1) / len(t.rows)
	block, fetched := end-r0, 4*rowBytes
	turns := passes > 1 && passes <= mostTurns
	if turns {
		block, fetched = turnRows, 4*rowBytes/passes
	}
	step := uintptr(fetched / max(1, w.Cols/chunkCodes))
	for b0 := r0; b0 < end; b0 += block {
		b1 := min(b0+block, end)
		for i, pass := 0, 0; i < a.rows; pass++ {
			tile, n := t.pick(a.rows - i)
			after := !turns && 2*n*a.stride <= firstCache
			for r := b0; r < b1; r += 4 {
				next := (r + 12) * rowBytes
				if turns {
					next = b1*rowBytes + (pass*(b1-b0)+r-b0)*rowBytes/passes
				}
				fetch := &w.Data[min(next, len(w.Data)-1)]
				// As long as a row of activations are four of weights.
				if row := i + 2*n - (b1-r)/4; after && row >= i+n && row < a.rows {
					fetch = (*byte)(unsafe.Pointer(&a.q[row*a.stride]))
				}
				tile(&dst[i*stride+r], uintptr(4*stride), &w.Data[r*rowBytes], uintptr(rowBytes), &a.q[i*a.stride], uintptr(a.stride),
					chunks, tail, &a.sum[i], &a.scale[i], w.Scale, fetch, step)
			}
			i += n
		}
	}
	return end
}

const (
	// mostTurns is up to how many tiles of activation rows take turns, turnRows of
	// how many rows of weights: with more tiles than that the time goes with
	// computing, and the activations come from the second cache too often.
	mostTurns = 4
	turnRows  = 16
)

// prefetchRow is how far ahead of the load a single row's stream is fetched, in bytes.
const prefetchRow = 8192

// mulTernary is the reference of MulTernary.
func mulTernary(dst []float32, stride int, w *Ternary, r0, r1 int, a *Acts, scratch *Scratch) {
	cols := w.Cols
	words := groupWords * groupsOf(cols)
	scratch.acts = grow(scratch.acts, a.rows*words)
	scratch.weights = grow(scratch.weights, words)
	scratch.trits = grow(scratch.trits, max(groupValues*groupsOf(cols), a.stride))
	acts, weights := scratch.acts, scratch.weights
	for i := range a.rows {
		packActivations(acts[i*words:(i+1)*words], a.natural(i, scratch.trits))
	}
	trits := scratch.trits[:groupValues*groupsOf(cols)]
	clear(trits[cols:])
	for r := r0; r < r1; r++ {
		w.Trits(trits[:cols], r)
		packTrits(weights, asBytes(trits))
		if w.Uniform {
			for i, si := range a.scale {
				dot := dotWords(weights, acts[i*words:(i+1)*words])
				dst[i*stride+r] = float32(dot) / si * w.Scale
			}
			continue
		}
		scales := scratch.blockScales(w, r)
		for i, si := range a.scale {
			sum := blockDots(weights, acts[i*words:(i+1)*words], scales, w.scaleGroup())
			dst[i*stride+r] = sum / si
		}
	}
}

// blockDots adds up dot × scale of blocks of the given number of values.
func blockDots(w, a []uint64, scales []float32, values int) float32 {
	block := values / wordValues
	if values%groupValues != 0 {
		panic(fmt.Sprintf("quantkern: ternary blocks of %d values are not a multiple of %d", values, groupValues))
	}
	var sum float32
	for b, scale := range scales {
		end := min((b+1)*block, len(w))
		dot := dotWords(w[b*block:end], a[b*block:end])
		sum += float32(float32(dot) * scale)
	}
	return sum
}

// MulDense multiplies rows r0..r1-1 of a rows × cols matrix of any codec with
// n float32 activation rows x [n, cols]:
//
//	dst[i*stride+r] = Dot(row r of the matrix, activation row i)
//
// Each matrix row is decoded once; a row of the codec F32 is used where it
// lies when the memory is aligned. dst must not overlap the inputs. Ranges of
// r may be computed concurrently, each with its own scratch.
func MulDense(dst []float32, stride int, c *Codec, data []byte, rows, cols, r0, r1 int, x []float32, n int, scratch *Scratch) {
	if len(x) < n*cols {
		panic(fmt.Sprintf("quantkern: MulDense: %d activations for %d rows of %d", len(x), n, cols))
	}
	if size := c.Size(rows, cols); len(data) < size {
		panic(fmt.Sprintf("quantkern: MulDense: %d bytes of a matrix of %d", len(data), size))
	}
	checkProduct("MulDense", dst, stride, rows, r0, r1, n)
	if n <= maxFused {
		r0 = mulPacked(dst, stride, c, data, cols, r0, r1, x, n)
	}
	if n == 0 || r0 >= r1 {
		return
	}
	kernels, size := denseKernels(c, data, rows, cols)
	if size > 0 {
		mulDenseTiles(dst[r0:], stride, data[r0*cols*size:], cols*size, r1-r0, cols, x, n, kernels)
		return
	}
	inPlace := floatsInPlace(c, data, rows*cols)
	// Rows are decoded in fours, which is what the tiles take, and meanwhile the
	// next four fetched.
	const group = 4
	p := active.packed[c.Name]
	for r := r0; r < r1; r += group {
		m := min(group, r1-r)
		var decoded []float32
		if inPlace != nil {
			decoded = inPlace[r*cols : (r+m)*cols]
		} else {
			scratch.row = grow(scratch.row, group*cols)
			decoded = scratch.row[:m*cols]
			for j := range m {
				row := decoded[j*cols : (j+1)*cols]
				if size := c.rowBytes(cols); p.takes(cols) {
					p.decode(&row[0], &data[(r+j)*size], c.units(cols), uintptr(group*size))
				} else {
					c.Decode(row, data, rows, cols, r+j)
				}
			}
		}
		if kernels.one != nil {
			mulDenseTiles(dst[r:], stride, bytesOf(decoded), 4*cols, m, cols, x, n, kernels)
			continue
		}
		for j := range m {
			for i := range n {
				dst[i*stride+r+j] = Dot(decoded[j*cols:(j+1)*cols], x[i*cols:(i+1)*cols])
			}
		}
	}
}

// maxFused is up to how many activation rows decode each weight anew; measured:
// for one it saves half of the time or more, for two it depends on the type.
const maxFused = 2

// mulPacked multiplies whole groups of four rows that are decoded on the way
// and returns the first row that is left.
func mulPacked(dst []float32, stride int, c *Codec, data []byte, cols, r0, r1 int, x []float32, n int) int {
	p := active.packed[c.Name]
	if !p.takes(cols) || p.stream == nil {
		return r0
	}
	row, blocks := c.rowBytes(cols), c.units(cols)
	for ; r0+4 <= r1; r0 += 4 {
		for i := range n {
			p.stream(&dst[i*stride+r0], 0, &data[r0*row], uintptr(row), &x[i*cols], 0, blocks)
		}
	}
	return r0
}

// denseKernels gives the tiles for a matrix (none: plain Go) and the size of the
// elements that they read where these lie, or 0 for rows decoded to float32.
func denseKernels(c *Codec, data []byte, rows, cols int) (t denseTiles, size int) {
	switch {
	case active.dotF32.one == nil || !whole(cols):
		return denseTiles{}, 0
	case c.Name == "F16":
		return active.dotF16, 2
	case floatsInPlace(c, data, rows*cols) != nil:
		return active.dotF32, 4
	}
	return active.dotF32, 0
}

// floatsInPlace is the data of a codec itself where it can be used as n float32,
// else nil.
func floatsInPlace(c *Codec, data []byte, n int) []float32 {
	if c.Name != "F32" {
		return nil
	}
	floats, _ := floatsOf(data, n)
	return floats
}

// pick chooses the kernel of four weight rows for the first of n activation
// rows and says how many of these it takes.
func (t denseTiles) pick(n int) (tile denseTile, rows int) {
	if t.x4 != nil && n >= 4 {
		return t.x4, 4
	}
	return t.x1, 1
}

// mulDenseTiles multiplies rows rows of cols elements, rowBytes apart, with n
// activation rows; row r times row i goes to dst[i*stride+r].
func mulDenseTiles(dst []float32, stride int, data []byte, rowBytes, rows, cols int, x []float32, n int, t denseTiles) {
	blocks, ldx, ldw := uintptr(cols/Lanes), uintptr(4*cols), uintptr(rowBytes)
	r := 0
	for ; r+4 <= rows; r += 4 {
		for i := 0; i < n; {
			tile, m := t.pick(n - i)
			tile(&dst[i*stride+r], uintptr(4*stride), &data[r*rowBytes], ldw, &x[i*cols], ldx, blocks)
			i += m
		}
	}
	for ; r < rows; r++ {
		for i := range n {
			t.one(&dst[i*stride+r], 0, &data[r*rowBytes], 0, &x[i*cols], 0, blocks)
		}
	}
}

// DotRow is Dot of row r of a rows × cols matrix of any codec with x, the value
// that MulDense gives.
func DotRow(c *Codec, data []byte, rows, cols, r int, x []float32, scratch *Scratch) float32 {
	checkRow(len(x), cols, rows, r)
	if c.BlockBytes == 0 { // no row lies by itself
		scratch.row = grow(scratch.row, cols)
		c.Decode(scratch.row, data, rows, cols, r)
		return Dot(scratch.row, x)
	}
	size := c.rowBytes(cols)
	scratch.one = grow(scratch.one, 1)
	MulDense(scratch.one, 1, c, data[r*size:(r+1)*size], 1, cols, 0, 1, x, 1, scratch)
	return scratch.one[0]
}

// FetchRow asks for row r of a matrix, which DotRow will read soon: rows here and there
// come late where nobody expects them.
func FetchRow(c *Codec, data []byte, cols, r int) {
	if size := c.rowBytes(cols); active.fetch != nil && size > 0 {
		active.fetch(&data[r*size], uintptr(size+63)/64)
	}
}
