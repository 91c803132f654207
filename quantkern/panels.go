package quantkern

// Products on tile registers (AMX). A panel is 32 rows of weights, whose codes are unpacked to
// tiles a few chunks at a time, which stay in the first cache while all rows of activations pass:
//
//	codes of 32 rows × 512 ─ unpack ─ tiles ─┐
//	Acts, 16 rows × 64 values a tile ────────┴─ multiply ─ dots [rows][32] ─ finish ─ dst
//	                                             └── += for each part of the columns
//
// All of it is exact until finish, which ends a dot as every other kernel does.

const (
	panelRows   = 32
	actTileRows = 16 // rows of activations of a tile
	actTile     = actTileRows * tileCodes
	tileCodes   = 64 // values of a row in a tile

	// panelChunks are unpacked at a time: with 16 KB of tiles half of the first cache is left
	// for the activations.
	panelChunks = 2
	panelTiles  = panelRows * chunkCodes // bytes of a chunk

	// leastPanelRows is from how many rows of activations on tiles are faster, measured.
	leastPanelRows = 10
)

// panels are the kernels; none: no tile registers.
type panels struct {
	// quantize is tier.quantize for Acts in tiles.
	quantize func(q *int8, x *float32, chunks, tail uintptr, s float32) int32

	unpack map[string]unpackPanel // by codec
	few    map[string][2]fewPanel // by codec: up to 16 rows of activations, and up to 32

	// multiply adds the products of steps tiles, or stores them if first is 1, of pairs of tiles of activations and
	// single rows more, up to 16; lda from a tile's rows to the next 16.
	multiply func(dots *int32, a *int8, lda uintptr, b *byte, steps, pairs, single, first uintptr, next *byte, ldw uintptr)

	// bound is Upper of coarse bounds for groups of a Screen and activations in right tiles.
	bound func(dst []float32, stride int, s *Screen, g0, g1 int, y *screenRowsOf, rows int)

	// finish ends the dots of a panel's rows that have a bit in mask.
	finish func(dst *float32, ldd uintptr, dots *int32, rows uintptr, sums *int32, scales *float32, scale float32, mask uint32)
}

// unpackPanel unpacks the codes of 16 rows to every other tile from dst on. With each chunk a line of
// eight rows from next on is fetched.
type unpackPanel func(dst, w *byte, ldw, chunks, tail uintptr, next *byte)

// fewPanel writes the dots of a panel with few activations, rows in each tile of these.
// It needs a whole number of chunks.
type fewPanel func(dots *int32, a *int8, lda uintptr, w *byte, ldw, chunks uintptr, tiles *byte, rows uintptr)

// inTiles tells whether activations of a shape lie in tiles.
func (p *panels) inTiles(rows, cols int) bool {
	return p.multiply != nil && rows >= leastPanelRows && cols > 0 && cols%halfCodes == 0
}

// roomInTiles is for how many rows of activations there is room: tiles are read whole, two at a time.
func roomInTiles(rows int) int {
	const step = 2 * actTileRows
	return (rows + step - 1) / step * step
}

// takes tells whether a matrix is multiplied in panels with activations that lie in tiles.
func (p *panels) takes(w *Ternary) bool {
	return p.unpack[w.Codec.Name] != nil && w.Uniform && w.Rows >= panelRows
}

// areFew tells whether activations of a shape are few: then memory is the limit, or as good as. With more,
// unpacking the weights once for all pays.
func areFew(rows, cols int) bool { return rows <= 2*actTileRows && cols%chunkCodes == 0 }

// kernelName names the kernel that reads a matrix for so many rows of activations.
func (p *panels) kernelName(w *Ternary, rows int) string {
	if areFew(rows, w.Cols) {
		kernel, _ := p.pickFew(w, rows)
		return kernelName(kernel)
	}
	return kernelName(p.unpack[w.Codec.Name])
}

// mulPanels multiplies with activations that lie in tiles. The last panel of a matrix begins early enough
// to be whole.
func mulPanels(dst []float32, stride int, w *Ternary, r0, r1 int, a *Acts, scratch *Scratch) {
	p := &active.panels
	m := panelProduct{panels: p, unpack: p.unpack[w.Codec.Name], w: w, a: a, rowBytes: w.rowBytes(), chunkBytes: w.rowBytes() * chunkCodes / w.Cols}
	m.pairs, m.single = a.rows/(2*actTileRows), a.rows%(2*actTileRows)
	if m.single > actTileRows {
		m.pairs, m.single = m.pairs+1, 0
	}
	if areFew(a.rows, w.Cols) {
		m.few(dst, stride, r0, r1, scratch)
		return
	}
	each := (2*m.pairs*actTileRows + m.single) * panelRows
	together := 1
	if len(a.q) > firstCache {
		together = max(1, panelDots/each)
	}
	scratch.tiles = grow(scratch.tiles, panelChunks*panelTiles)
	scratch.dots = grow(scratch.dots, together*each)
	dots := scratch.dots
	for r := r0; r < r1; {
		end := min(r1, r+together*panelRows)
		n := (end - r + panelRows - 1) / panelRows
		for c := 0; c < m.parts(); c += panelChunks {
			for i := range n {
				m.part(dots[i*each:], m.at(r, i), c, m.after(r, i, n, c), scratch.tiles)
			}
		}
		for i := range n {
			m.end(dst, stride, r+i*panelRows, end, dots[i*each:])
		}
		r = end
	}
}

// panelDots is about how many dots are kept while some panels take turns: each multiplies
// the same columns of the activations, which then come from the second cache where all of
// them are too many for it.
const panelDots = 64 << 10

// ProductBytes is at most what MulTernary takes of a worker's Scratch for so many activation rows, and what their tiles take
// beyond the activations themselves, where matrices are multiplied in panels.
func ProductBytes(rows, cols int) (scratch, acts int) {
	if !active.panels.inTiles(rows, cols) {
		return 0, 0
	}
	room := roomInTiles(rows)
	return 2*panelTiles + 4*max(panelDots, room*panelRows), (room - rows) * cols
}

// panelProduct is a product of panels with activations.
type panelProduct struct {
	*panels
	unpack               unpackPanel
	w                    *Ternary
	a                    *Acts
	rowBytes, chunkBytes int
	pairs, single        int // tiles of activations, rows in the last one
}

// pickFew chooses the kernel for few activation rows, and says how many rows of a tile it reads.
func (p *panels) pickFew(w *Ternary, rows int) (f fewPanel, ofTile int) {
	k := p.few[w.Codec.Name]
	if rows > actTileRows {
		return k[1], actTileRows
	}
	return k[0], rows
}

// few multiplies with few activations.
func (m *panelProduct) few(dst []float32, stride, r0, r1 int, scratch *Scratch) {
	a, w := m.a, m.w
	kernel, rows := m.pickFew(w, a.rows)
	scratch.tiles = grow(scratch.tiles, 2*panelTiles)
	scratch.dots = grow(scratch.dots, 2*actTileRows*panelRows)
	for r := r0; r < r1; r += panelRows {
		base := m.at(r, 0)
		kernel(&scratch.dots[0], &a.q[0], uintptr(actTileRows*a.stride), &w.Data[base*m.rowBytes], uintptr(m.rowBytes), uintptr(m.parts()),
			&scratch.tiles[0], uintptr(rows))
		m.end(dst, stride, r, r1, scratch.dots)
	}
}

// end stores what the dots of a panel give, of rows r and following, but not of r1.
func (m *panelProduct) end(dst []float32, stride, r, r1 int, dots []int32) {
	base := m.at(r, 0)
	mask := uint32(1<<(min(r1, base+panelRows)-base)-1) &^ uint32(1<<(r-base)-1)
	m.finish(&dst[base], uintptr(4*stride), &dots[0], uintptr(m.a.rows), &m.a.sum[0], &m.a.scale[0], m.w.Scale, mask)
}

// parts is the number of chunks of a row.
func (m *panelProduct) parts() int { return (m.w.Cols + chunkCodes - 1) / chunkCodes }

// at is the first row of panel i of those from row r on.
func (m *panelProduct) at(r, i int) int { return min(r+i*panelRows, m.w.Rows-panelRows) }

// after is where the weights lie that come after chunks c of panel i of n.
func (m *panelProduct) after(r, i, n, c int) int {
	switch {
	case i+1 < n:
		i++
	case c+panelChunks < m.parts():
		i, c = 0, c+panelChunks
	default:
		i, c = n, 0
	}
	return min(m.at(r, i)*m.rowBytes+c*m.chunkBytes, len(m.w.Data)-1)
}

// part adds the products of chunks c and following of the panel of row r to dots, and fetches the weights at next.
func (m *panelProduct) part(dots []int32, r, c, next int, tiles []byte) {
	n := min(panelChunks, m.parts()-c)
	whole := min(n, m.w.Cols/chunkCodes-c)
	for half := range 2 {
		to := min(next+half*panelRows/2*m.rowBytes, len(m.w.Data)-1)
		m.unpack(&tiles[half*actTile], &m.w.Data[(r+half*panelRows/2)*m.rowBytes+c*m.chunkBytes], uintptr(m.rowBytes),
			uintptr(whole), uintptr(n-whole), &m.w.Data[to])
	}
	first := uintptr(0)
	if c == 0 {
		first = 1
	}
	m.multiply(&dots[0], &m.a.q[c*chunkCodes/tileCodes*actTile], uintptr(actTileRows*m.a.stride), &tiles[0],
		uintptr(n*chunkCodes/tileCodes), uintptr(m.pairs), uintptr(m.single), first, &m.w.Data[min(next+64, len(m.w.Data)-1)], uintptr(m.rowBytes))
}
