package quantkern

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// tlVectors are matrices that bitnet.cpp's own converter packed.
type tlVectors map[string][]struct {
	M, K    int
	Tile    string
	Weights string `json:"weights_row_major"`
	Hex     string `json:"bytes_hex"` // without the scale's tail
}

func TestTilesVectors(t *testing.T) {
	var all tlVectors
	readJSON(t, "testdata/tl_vectors.json", &all)
	if len(all["tl1"]) != 2 || len(all["tl2"]) != 3 {
		t.Fatalf("%d and %d vectors, want 2 and 3", len(all["tl1"]), len(all["tl2"]))
	}
	for typ, vectors := range all {
		for _, v := range vectors {
			name := strings.ToUpper(typ) + ":" + v.Tile
			c := mustLookup(t, name)
			want := make([]byte, c.Size(v.M, v.K))
			copy(want, mustHex(t, v.Hex))
			const scale = 0.375
			binary.LittleEndian.PutUint32(want[c.tail(v.M, v.K):], math.Float32bits(scale))
			m, err := NewTernary(c, want, v.M, v.K)
			if err != nil {
				t.Fatal(err)
			}
			if !m.Uniform || m.Scale != scale || m.Undefined() != 0 {
				t.Errorf("%s: uniform %v, scale %v, %d undefined", name, m.Uniform, m.Scale, m.Undefined())
			}
			row, values := make([]int8, v.K), make([]float32, v.M*v.K)
			for r := range v.M {
				m.Trits(row, r)
				for i, trit := range row {
					if w := v.Weights[r*v.K+i]; "-0+"[trit+1] != w {
						t.Fatalf("%s: row %d, column %d: %d, want %c", name, r, i, trit, w)
					}
					values[r*v.K+i] = float32(trit) * scale
				}
			}
			got := slices.Repeat([]byte{0xee}, len(want))
			if err := c.Encode(got, values, v.M, v.K); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s %d × %d: other bytes", name, v.M, v.K)
			}
			clear(got)
			if err := c.EncodeTernary(got, m.Source(), nil); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %d × %d: other bytes from trits (%v)", name, v.M, v.K, err)
			}
		}
	}
}

// naiveTL is the specification of both types, a value at a time: it gives the byte and
// shift of the index and, of triples, the bit of the sign.
func naiveTL1(t Tile, k, m, col int) (byteAt, shift int) {
	by := 256 / t.Inner
	g := col / 2
	mt, mb, m16, r := m/t.BM, m%t.BM/t.Inner, m%t.BM%t.Inner/16, m%t.BM%t.Inner%16
	kt, gr := g/(t.BK/2), g%(t.BK/2)
	kb, gg := gr/(by/2), gr%(by/2)
	p, s := gg/2, gg%2
	return (((((mt*(k/t.BK)+kt)*(t.BM/t.Inner)+mb)*(t.BK/by)+kb)*(t.Inner/16)+m16)*(by/4)+p)*16 + r, 4 - 4*s
}

func naiveTL2(t Tile, rows, k, m, col int) (byteAt, shift, signByte, signBit int) {
	k3 := k / t.BK * t.BK
	pos := map[int]int{0: 0, 1: 2, 2: 1, 3: 3}[m%32/8]*8 + m%8
	mt, mb := m/t.BM, m%t.BM/32
	if col >= k3 {
		g := (col - k3) / 2
		kt, gr := g/16, g%16
		return rows*k3/6 + rows*k3/24 + (((mt*((k-k3)/32)+kt)*(t.BM/32)+mb)*8+gr/2)*32 + pos, 4 - gr%2*4, -1, 0
	}
	g := col / 3
	kt, gr := g/(t.BK/3), g%(t.BK/3)
	blk := (mt*(k3/t.BK)+kt)*(t.BM/32) + mb
	bit := 15 - (2*(gr%8) + m%32/16)
	return (blk*(t.BK/6)+gr/2)*32 + pos, 4 - gr%2*4, rows*k3/6 + 2*((blk*(t.BK/24)+gr/8)*16+m%16) + bit/8, bit % 8
}

// TestTilesOfEveryPreset packs a matrix of every preset's shape and reads some
// thousand values by the formulas.
func TestTilesOfEveryPreset(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for typ, presets := range map[string]map[shape][]Tile{"TL1": tl1Presets, "TL2": tl2Presets} {
		if len(presets) != 10 {
			t.Fatalf("%s: %d presets, want 10", typ, len(presets))
		}
		for s, tiles := range presets {
			if testing.Short() && s.rows*s.cols > 1<<24 {
				continue
			}
			for i, tile := range tiles {
				c := mustLookup(t, typ)
				if i > 0 {
					c = mustLookup(t, typ+":"+tile.String())
				}
				if got, ok := c.Tile(s.rows, s.cols); !ok || got != tile {
					t.Fatalf("%s %v: tile %v, want %v", typ, s, got, tile)
				}
				checkTiles(t, r, c, tile, s.rows, s.cols)
			}
		}
	}
}

func checkTiles(t rapid.TB, r *rand.Rand, c *Codec, tile Tile, rows, cols int) {
	t.Helper()
	trits := make([]int8, rows*cols)
	for i := range trits {
		trits[i] = int8(r.IntN(3) - 1)
	}
	data := make([]byte, c.Size(rows, cols))
	src := TritSource{Rows: rows, Cols: cols, Scale: 0.5, Trits: func(dst []int8, r int) error { copy(dst, trits[r*cols:]); return nil }}
	backwards := func(groups int, fn func(lo, hi int) error) error {
		for g := groups - 1; g >= 0; g-- {
			if err := fn(g, g+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := c.EncodeTernary(data, src, backwards); err != nil {
		t.Fatal(err)
	}
	m, err := NewTernary(c, data, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]int8, cols)
	for i := range rows {
		if m.Trits(row, i); !slices.Equal(row, trits[i*cols:(i+1)*cols]) {
			t.Fatalf("%s %v, %d × %d: row %d is another after packing", c.Name, tile, rows, cols, i)
		}
	}
	for range 4000 {
		i, k := r.IntN(rows), r.IntN(cols)
		var got int
		if c.trits.order == pairs {
			at, shift := naiveTL1(tile, cols, i, k)
			v := int(data[at] >> shift & 15)
			got = []int{v/3 - 1, v%3 - 1}[k%2]
		} else {
			at, shift, sign, bit := naiveTL2(tile, rows, cols, i, k)
			v := int(data[at] >> shift & 15)
			if sign < 0 {
				got = []int{v/3 - 1, v%3 - 1}[(k-cols/tile.BK*tile.BK)%2]
			} else {
				if data[sign]>>bit&1 != 0 {
					v = -v
				}
				// The three digits −1, 0, 1 of v in base 3.
				a := (v + 13) / 9
				b := (v + 13) % 9 / 3
				got = []int{a, b, (v + 13) % 3}[k%3] - 1
			}
		}
		if want := int(trits[i*cols+k]); got != want {
			t.Fatalf("%s %v, %d × %d: row %d, column %d holds %d, want %d", c.Name, tile, rows, cols, i, k, got, want)
		}
	}
}

// TestTilesOfOtherShapes: the rule gives legal tiles wherever there are any of its kind,
// and every legal tile packs.
func TestTilesOfOtherShapes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]string{"TL1", "TL2"}).Draw(t, "type")
		rows := 32 * rapid.IntRange(1, 24).Draw(t, "rows/32")
		cols := 256 + 32*rapid.IntRange(0, 24).Draw(t, "cols/32")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		c := mustLookup(t, typ)
		tiles := c.TilesFor(rows, cols)
		if len(tiles) == 0 {
			t.Fatalf("%s %d × %d: no tile", typ, rows, cols)
		}
		tile := tiles[0]
		if rapid.Bool().Draw(t, "other") {
			tile = Tile{
				BM:    32 * rapid.IntRange(1, 10).Draw(t, "BM/32"),
				BK:    24 * rapid.IntRange(1, 12).Draw(t, "BK/24"),
				Inner: rapid.SampledFrom([]int{32, 64}).Draw(t, "bm"),
			}
			c = mustLookup(t, typ+":"+tile.String())
			if err := c.Check(rows, cols); err != nil {
				var se *ShapeError
				if !errors.As(err, &se) {
					t.Fatal(err)
				}
				return
			}
		}
		checkTiles(t, r, c, tile, rows, cols)
	})
}

func TestTileErrors(t *testing.T) {
	for _, name := range []string{"TL1:", "TL1:1/2", "TL1:0/64/32", "TL1:64/64/32/1", "TL1:a/b/c", "I2_S:64/64/32", "TL9:64/64/32"} {
		if _, err := Lookup(name); err == nil {
			t.Errorf("%q was found", name)
		}
	}
	for _, c := range []struct {
		name       string
		rows, cols int
		need       string
	}{
		{"TL1", 48, 64, "multiple of 32"}, {"TL1", 64, 12, "of 8"}, {"TL2", 64, 128, "at least 256"}, {"TL2", 64, 264, "multiples of 32"},
		{"TL1:48/64/32", 96, 64, "multiple of bm"}, {"TL1:64/64/33", 64, 64, "32 or 64"}, {"TL1:64/48/32", 64, 64, "divide the columns"},
		{"TL1:64/4/32", 64, 64, "256/bm"}, {"TL1:40/64/32", 64, 64, "divide the rows"},
		{"TL2:32/96/64", 32, 288, "must be 32"}, {"TL2:32/100/32", 32, 300, "multiple of 24"}, {"TL2:32/72/32", 32, 256, "multiple of 32"},
		{"TL2:32/600/32", 32, 512, "room"},
	} {
		var se *ShapeError
		if err := mustLookup(t, c.name).Check(c.rows, c.cols); !errors.As(err, &se) || !strings.Contains(se.Need, c.need) {
			t.Errorf("%s %d × %d: %v, want %q", c.name, c.rows, c.cols, err, c.need)
		}
	}
}

// TestTilesUndefined: indices that stand for nothing are zeros and counted.
func TestTilesUndefined(t *testing.T) {
	for _, v := range []struct {
		name string
		at   int
		put  byte
		want int
	}{{"TL1", 5, 0x90, 1}, {"TL1", 5, 0xff, 2}, {"TL2", 5, 0xe0, 1}, {"TL2", 5, 0x0f, 1}, {"TL2", 32 * 320 * 5 / 24, 0x09, 1}} {
		c := mustLookup(t, v.name)
		const rows, cols = 32, 320
		data := make([]byte, c.Size(rows, cols))
		src := TritSource{Rows: rows, Cols: cols, Trits: func(dst []int8, _ int) error { clear(dst); return nil }, Scale: 1}
		if err := c.EncodeTernary(data, src, nil); err != nil {
			t.Fatal(err)
		}
		if v.at > 1000 {
			v.at = tl2Sections(rows, cols, 288).pairs + 3
			data[v.at] = v.put | 0x40
		} else {
			data[v.at] = v.put
		}
		m, err := NewTernary(c, data, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Undefined(); got != v.want {
			t.Errorf("%s with %#x: %d undefined, want %d", v.name, v.put, got, v.want)
		}
		row := make([]int8, cols)
		for r := range rows {
			m.Trits(row, r)
			for _, x := range row {
				if x < -1 || x > 1 {
					t.Fatalf("%s: trit %d", v.name, x)
				}
			}
		}
	}
}
