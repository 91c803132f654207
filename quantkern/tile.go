package quantkern

import (
	"fmt"
	"strings"
)

// Tile are the parameters of TL1 and TL2 that decide where a trit lies. The
// programs that write these types take them from a configuration of their own
// and do not store them: a file says them only where tritflow wrote it.
type Tile struct {
	BM    int // rows of a tile
	BK    int // columns of a tile
	Inner int // rows that are packed side by side, bm: 32 or 64 (TL2: 32)
}

// String is "BM/BK/bm", as it stands behind a type's name (Lookup).
func (t Tile) String() string { return fmt.Sprintf("%d/%d/%d", t.BM, t.BK, t.Inner) }

// ParseTile is the inverse of String; whether a matrix can have the tile is for
// Codec.Check to say.
func ParseTile(s string) (Tile, error) {
	var t Tile
	var rest string
	n, _ := fmt.Sscanf(s+" .", "%d/%d/%d %s", &t.BM, &t.BK, &t.Inner, &rest)
	if n != 4 || rest != "." || t.BM < 1 || t.BK < 1 || t.Inner < 1 {
		return Tile{}, fmt.Errorf("quantkern: %q are no tiles: write BM/BK/bm, for example 256/128/32", s)
	}
	return t, nil
}

// lookupTiled is a codec for given tiles.
func lookupTiled(name, tile string) (*Codec, error) {
	c, err := Lookup(name)
	if err != nil {
		return nil, err
	}
	t, err := ParseTile(tile)
	if err != nil {
		return nil, err
	}
	if !c.tiled() {
		return nil, fmt.Errorf("quantkern: %w %q: %s has no tiles", ErrUnknownType, name+":"+tile, name)
	}
	return c.withTile(t), nil
}

// withTile is the codec with its tile fixed.
func (c *Codec) withTile(t Tile) *Codec {
	own, layout := *c, *c.trits
	layout.tile = t
	own.trits = &layout
	return &own
}

// Tiled tells whether the byte order of the type depends on tiles.
func (c *Codec) Tiled() bool { return c.tiled() }

// Tile is what a rows × cols matrix of a tiled type has by this codec: the tile that
// Lookup was given, or what TilesFor says first. ok is false where there is none.
func (c *Codec) Tile(rows, cols int) (t Tile, ok bool) {
	if !c.tiled() {
		return Tile{}, false
	}
	t = c.trits.tileOf(rows, cols)
	return t, t != Tile{}
}

// shape of a matrix with presets.
type shape struct{ rows, cols int }

// The presets of bitnet.cpp, by shape; formats.md section 3.3. Where its two
// sources disagree (its configuration files, and what its set-up script
// writes over them), the file comes first.
var (
	tl1Presets = map[shape][]Tile{
		{1536, 4096}:  {{256, 128, 32}},
		{1536, 1536}:  {{128, 64, 64}},
		{4096, 1536}:  {{256, 128, 32}},
		{3200, 8640}:  {{160, 64, 32}},
		{3200, 3200}:  {{320, 128, 64}},
		{8640, 3200}:  {{320, 64, 32}},
		{14336, 4096}: {{256, 128, 64}, {256, 128, 32}},
		{4096, 14336}: {{256, 128, 32}, {128, 64, 64}},
		{1024, 4096}:  {{128, 64, 64}, {256, 128, 32}},
		{4096, 4096}:  {{128, 64, 32}, {128, 64, 64}},
	}
	tl2Presets = map[shape][]Tile{
		{1536, 4096}:  {{256, 96, 32}},
		{1536, 1536}:  {{128, 192, 32}},
		{4096, 1536}:  {{256, 96, 32}},
		{3200, 8640}:  {{160, 96, 32}},
		{3200, 3200}:  {{320, 96, 32}},
		{8640, 3200}:  {{320, 96, 32}},
		{14336, 4096}: {{256, 96, 32}},
		{4096, 14336}: {{128, 96, 32}},
		{1024, 4096}:  {{256, 96, 32}},
		{4096, 4096}:  {{128, 96, 32}},
	}
)

// TilesFor lists the tiles that a rows × cols matrix of the type may be taken
// to have, likeliest first: the presets of its shape, or else the one of
// tritflow's rule, which is
//
//	TL1  bm 32, BM the largest multiple of 32 up to 256 that divides the rows,
//	     BK the largest multiple of 8 up to 128 that divides the columns
//	TL2  bm 32, BM as TL1, BK 96
//
// None for shapes that the type cannot have.
func (c *Codec) TilesFor(rows, cols int) []Tile {
	if !c.tiled() {
		return nil
	}
	return c.trits.usual(rows, cols)
}

func (l *tritLayout) usual(rows, cols int) []Tile {
	presets := tl1Presets
	if l.order == triples {
		presets = tl2Presets
	}
	if p := presets[shape{rows, cols}]; p != nil {
		return p
	}
	t := Tile{BM: divisor(rows, 32, 256), BK: divisor(cols, 8, 128), Inner: 32}
	if l.order == triples {
		t.BK = 96
	}
	if l.illegal(t, rows, cols) != "" {
		return nil
	}
	return []Tile{t}
}

// divisor is the largest multiple of step up to most that divides n, 0 if none.
func divisor(n, step, most int) int {
	for d := most; d > 0; d -= step {
		if n%d == 0 {
			return d
		}
	}
	return 0
}

// tileOf is the tile of a matrix, zero where it cannot have one.
func (l *tritLayout) tileOf(rows, cols int) Tile {
	if l.tile != (Tile{}) {
		return l.tile
	}
	if all := l.usual(rows, cols); len(all) > 0 {
		return all[0]
	}
	return Tile{}
}

// tileRule says why a matrix cannot have the type, "" if it can. Empty
// matrices need no tiles.
func (l *tritLayout) tileRule(rows, cols int) string {
	if rows == 0 || cols == 0 {
		return ""
	}
	if l.tile != (Tile{}) {
		return l.illegal(l.tile, rows, cols)
	}
	if l.tileOf(rows, cols) != (Tile{}) {
		return ""
	}
	if l.order == triples {
		return "the rows and columns must be multiples of 32, the columns at least 256"
	}
	return "the rows must be a multiple of 32, the columns of 8"
}

// illegal says which rule of the format tiles break.
func (l *tritLayout) illegal(t Tile, rows, cols int) string {
	var rules []string
	need := func(ok bool, format string, args ...any) {
		if !ok {
			rules = append(rules, fmt.Sprintf(format, args...))
		}
	}
	if t.BM < 1 || t.BK < 1 || t.Inner < 1 {
		return "the tiles must be above 0"
	}
	need(rows%t.BM == 0, "BM %d must divide the rows", t.BM)
	if l.order == pairs {
		need(t.Inner == 32 || t.Inner == 64, "bm %d must be 32 or 64", t.Inner)
		need(cols%t.BK == 0, "BK %d must divide the columns", t.BK)
		need(t.BM%t.Inner == 0, "BM %d must be a multiple of bm %d", t.BM, t.Inner)
		need(t.Inner > 256 || t.BK%(256/t.Inner) == 0, "BK %d must be a multiple of 256/bm", t.BK)
		return strings.Join(rules, ", ")
	}
	three := cols / t.BK * t.BK
	need(t.Inner == 32, "bm %d must be 32", t.Inner)
	need(t.BM%32 == 0, "BM %d must be a multiple of 32", t.BM)
	need(t.BK%24 == 0, "BK %d must be a multiple of 24", t.BK)
	need((cols-three)%32 == 0, "the %d columns beyond multiples of BK %d must be a multiple of 32", cols-three, t.BK)
	need(cols >= 256, "the columns must be at least 256")
	if len(rules) == 0 {
		need(tl2Sections(rows, cols, three).end <= tl2Tail(rows, cols), "the room of the format is too small for BK %d", t.BK)
	}
	return strings.Join(rules, ", ")
}
