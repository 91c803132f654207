package gguf

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What tritflow's writers say of layouts that the format itself leaves open.
// Other programs ignore these keys.
const (
	// TilesKey is an array of u32, five for each shape that TL1 or TL2 tensors
	// of the file have: rows, columns, BM, BK, bm.
	TilesKey = "tritflow.tl.tiles"
	// I2SLayoutKey is a string, the byte order of I2_S tensors: A, B or C.
	I2SLayoutKey = "tritflow.i2_s.layout"
)

// Codec is the name by which quantkern finds the tensor's codec: the Type's
// name and, where the file or the caller said them, the tiles: "TL1:256/128/32".
func (t *Tensor) Codec() string {
	if t.Tile == "" {
		return t.Type.String()
	}
	return t.Type.String() + ":" + t.Tile
}

// tileOf is a shape's tiles, "BM/BK/bm".
type tilesOf map[[2]uint64]string

// anyShape is the key of tiles that serve every shape.
var anyShape = [2]uint64{}

// tiles are those of the options, or else of the metadata.
func tiles(parts []*part, meta *Metadata, opt Options, on verdict) (tilesOf, error) {
	if opt.Tiles != "" {
		return parseTiles(opt.Tiles)
	}
	n, err := meta.Ints(TilesKey)
	if errors.Is(err, ErrNoKey) {
		return nil, nil
	}
	const each = 5
	if err != nil || len(n)%each != 0 {
		return nil, on(parts[0].bad(ErrKey, TilesKey, "name the tiles with the option for them", "it is not an array of u32 with five numbers for each shape"))
	}
	t := tilesOf{}
	for ; len(n) > 0; n = n[each:] {
		t[[2]uint64{uint64(n[0]), uint64(n[1])}] = fmt.Sprintf("%d/%d/%d", n[2], n[3], n[4])
	}
	return t, nil
}

// parseTiles reads "BM/BK/bm" for all shapes, or "rows×columns=BM/BK/bm, …".
func parseTiles(s string) (tilesOf, error) {
	t := tilesOf{}
	for entry := range strings.SplitSeq(s, ",") {
		shape, tile, one := strings.Cut(strings.TrimSpace(entry), "=")
		key := anyShape
		if !one {
			tile = shape
		} else {
			rows, cols, _ := strings.Cut(shape, "x")
			var err1, err2 error
			key[0], err1 = strconv.ParseUint(rows, 10, 40)
			key[1], err2 = strconv.ParseUint(cols, 10, 40)
			if err1 != nil || err2 != nil || key == anyShape {
				return nil, badTiles(entry)
			}
		}
		numbers := strings.Split(tile, "/")
		for _, n := range numbers {
			if v, err := strconv.ParseUint(n, 10, 20); err != nil || v == 0 {
				return nil, badTiles(entry)
			}
		}
		if len(numbers) != 3 {
			return nil, badTiles(entry)
		}
		t[key] = tile
	}
	return t, nil
}

func badTiles(entry string) error {
	return fmt.Errorf("gguf: %w: tiles %q; write BM/BK/bm, or for each shape ROWSxCOLUMNS=BM/BK/bm, separated by commas", ErrOption, entry)
}

// of is what is known about a tensor.
func (t tilesOf) of(x *Tensor) string {
	if x.Type != TypeTL1 && x.Type != TypeTL2 {
		return ""
	}
	if tile, ok := t[[2]uint64{uint64(x.Rows()), uint64(x.Cols())}]; ok {
		return tile
	}
	return t[anyShape]
}
