package quantkern

import (
	"encoding/binary"
	"math/bits"
)

// TL1 and TL2 (bitnet.cpp): trits as indices into tables of products. TL1 has
// four bits for each pair of neighbours. TL2 has four bits for the magnitude
// of each triple, further on a bit for its sign, and behind both the columns
// that no tile of triples covers, as pairs. Rows are interleaved in tiles, so
// that a row is scattered: here it is collected, one row at a time.

// pairTrits are the four trits of a TL1 byte, as four bytes in their order.
var pairTrits = func() (t [256]uint32) {
	for b := range t {
		high, low := pairOf(b>>4), pairOf(b&15)
		for j, v := range []int8{high[0], high[1], low[0], low[1]} {
			t[b] |= uint32(uint8(v)) << (8 * j)
		}
	}
	return t
}()

// pairOf is what an index 3a + b + 4 stands for; beyond 8 nothing does.
func pairOf(index int) [2]int8 {
	if index > 8 {
		return [2]int8{}
	}
	return [2]int8{int8(index/3 - 1), int8(index%3 - 1)}
}

// tl1Row is where a row's bytes lie: at(kt, kb, p) = base + kt×tileStep +
// kb×blockStep + p×16, each of four neighbours.
type tl1Row struct {
	base, tileStep, blockStep int
	tiles, blocks, bytes      int
}

func tl1RowOf(t Tile, cols, r int) tl1Row {
	by := 256 / t.Inner
	mt, m := r/t.BM, r%t.BM
	mb, m := m/t.Inner, m%t.Inner
	return tl1Row{
		base:     mt*t.BM*cols/4 + mb*t.Inner*t.BK/4 + m/16*4*by + m%16,
		tileStep: t.BM * t.BK / 4, blockStep: t.Inner * by / 4,
		tiles: cols / t.BK, blocks: t.BK / by, bytes: by / 4,
	}
}

func unpackTL1(dst []int8, data []byte, t Tile, cols, r int) {
	w := tl1RowOf(t, cols, r)
	out := asBytes(dst)
	for kt := range w.tiles {
		for kb := range w.blocks {
			at := w.base + kt*w.tileStep + kb*w.blockStep
			for p := range w.bytes {
				binary.LittleEndian.PutUint32(out, pairTrits[data[at+16*p]])
				out = out[4:]
			}
		}
	}
}

func packTL1(data []byte, codes []uint8, t Tile, cols, r int) {
	w := tl1RowOf(t, cols, r)
	for kt := range w.tiles {
		for kb := range w.blocks {
			at := w.base + kt*w.tileStep + kb*w.blockStep
			for p := range w.bytes {
				data[at+16*p] = (3*codes[0]+codes[1])<<4 | (3*codes[2] + codes[3])
				codes = codes[4:]
			}
		}
	}
}

// sections are where the parts of TL2 begin.
type sections struct{ signs, pairs, end int }

// tl2Sections lays out a matrix of which the first three columns are triples.
func tl2Sections(rows, cols, three int) (s sections) {
	s.signs = rows * three / 6
	s.pairs = s.signs + rows*three/24
	s.end = s.pairs + rows*(cols-three)/4
	return s
}

// tl2Tail is where the scale stands: bitnet.cpp's formula, which makes room
// for 256 columns of pairs whatever there are, rounded up to 32.
func tl2Tail(rows, cols int) int {
	if rows == 0 || cols == 0 {
		return 0
	}
	return (((cols-256)*rows/3*5)/8 + 256*rows/2*4/8 + 31) &^ 31
}

// tl2Place is the place of a row among 32: the eights 0, 2, 1, 3.
func tl2Place(r int) int {
	eight := r % 32 / 8
	return [4]int{0, 2, 1, 3}[eight]*8 + r%8
}

// tripleTrits are the three trits of a magnitude 9a + 3b + c up to 13, the most
// significant first; beyond it there are none.
var tripleTrits = func() (t [16][3]int8) {
	for v := range 14 {
		a := (v + 4) / 9
		b := (v - 9*a + 1 + 9) / 3
		b -= 3
		t[v] = [3]int8{int8(a), int8(b), int8(v - 9*a - 3*b)}
	}
	return t
}()

// triplePairs are the six trits of a byte of two magnitudes, as bytes in their
// order, under the signs of the first (1) and the second (2).
var triplePairs = func() (t [4][256]uint64) {
	for signs := range t {
		for b := range 256 {
			for k, index := range []int{b >> 4, b & 15} {
				for j, v := range tripleTrits[index] {
					if signs>>k&1 != 0 {
						v = -v
					}
					t[signs][b] |= uint64(uint8(v)) << (8 * (3*k + j))
				}
			}
		}
	}
	return t
}()

// tl2Row is where a row's bytes lie.
type tl2Row struct {
	sections
	three       int // columns in triples
	place, half int // among 32 rows; which half of a sign word's bits
	block       int // first block of 32 rows × BK columns in the row's tile
	step        int // blocks from one tile of columns to the next
	wide        int // first block of the pairs, 32 × 32; their tiles follow in steps
	word        int // among 16 sign words
}

func tl2RowOf(t Tile, rows, cols, r int) tl2Row {
	three := cols / t.BK * t.BK
	mt, mb, step := r/t.BM, r%t.BM/32, t.BM/32
	return tl2Row{
		sections: tl2Sections(rows, cols, three), three: three,
		place: tl2Place(r), half: r % 32 / 16, word: r % 16, step: step,
		block: mt*(three/t.BK)*step + mb,
		wide:  mt*((cols-three)/32)*step + mb,
	}
}

func unpackTL2(dst []int8, data []byte, t Tile, rows, cols, r int) {
	w, out := tl2RowOf(t, rows, cols, r), asBytes(dst)
	for kt := range w.three / t.BK {
		block := w.block + kt*w.step
		for q := range t.BK / 24 {
			signs := binary.LittleEndian.Uint16(data[w.signs+2*((block*(t.BK/24)+q)*16+w.word):])
			at := (block*(t.BK/6)+4*q)*32 + w.place
			signs = bits.Reverse16(signs) >> w.half // triple k's in bit 2k
			for k := range 4 {
				v := triplePairs[signs&1|signs>>1&2][data[at+32*k]]
				signs >>= 4
				if len(out) >= 8 {
					binary.LittleEndian.PutUint64(out, v) // two bytes too many, written again by the next
				} else {
					binary.LittleEndian.PutUint32(out, uint32(v))
					binary.LittleEndian.PutUint16(out[4:], uint16(v>>32))
				}
				out = out[6:]
			}
		}
	}
	for kt := range (cols - w.three) / 32 {
		at := w.pairs + (w.wide+kt*w.step)*8*32 + w.place
		for kb := range 8 {
			binary.LittleEndian.PutUint32(out, pairTrits[data[at+32*kb]])
			out = out[4:]
		}
	}
}

func packTL2(data []byte, codes []uint8, t Tile, rows, cols, r int) {
	w := tl2RowOf(t, rows, cols, r)
	for kt := range w.three / t.BK {
		block := w.block + kt*w.step
		for q := range t.BK / 24 {
			word := data[w.signs+2*((block*(t.BK/24)+q)*16+w.word):]
			signs := binary.LittleEndian.Uint16(word)
			at := (block*(t.BK/6)+4*q)*32 + w.place
			for k := range 8 {
				v := 9*int(codes[0]) + 3*int(codes[1]) + int(codes[2]) - 13
				if v < 0 {
					v = -v
					signs |= 1 << (15 - (2*k + w.half))
				}
				data[at+k/2*32] |= uint8(v) << (4 - k%2*4)
				codes = codes[3:]
			}
			binary.LittleEndian.PutUint16(word, signs)
		}
	}
	for kt := range (cols - w.three) / 32 {
		at := w.pairs + (w.wide+kt*w.step)*8*32 + w.place
		for kb := range 8 {
			data[at+32*kb] = (3*codes[0]+codes[1])<<4 | (3*codes[2] + codes[3])
			codes = codes[4:]
		}
	}
}

// undefinedTiles counts the indices that stand for no trits.
func (t *Ternary) undefinedTiles() int {
	c := t.Codec
	if t.Rows == 0 || t.Cols == 0 {
		return 0
	}
	if c.trits.order == pairs {
		return nibblesAbove(t.Data[:t.Rows*t.Cols/4], 8)
	}
	bk := c.trits.tileOf(t.Rows, t.Cols).BK
	s := tl2Sections(t.Rows, t.Cols, t.Cols/bk*bk)
	return nibblesAbove(t.Data[:s.signs], 13) + nibblesAbove(t.Data[s.pairs:s.end], 8)
}

// nibblesAbove counts the nibbles larger than limit, 8 to 14.
func nibblesAbove(b []byte, limit uint64) int {
	const low, carries = 0x0f0f0f0f0f0f0f0f, 0x1010101010101010
	n := 0
	add := (15 - limit) * lanes01 // a nibble above limit overflows into the fifth bit
	for ; len(b) >= 8; b = b[8:] {
		v := binary.LittleEndian.Uint64(b)
		n += bits.OnesCount64((v&low+add)&carries) + bits.OnesCount64((v>>4&low+add)&carries)
	}
	for _, v := range b {
		if uint64(v&15) > limit {
			n++
		}
		if uint64(v>>4) > limit {
			n++
		}
	}
	return n
}
