package quantkern

import (
	"math/rand/v2"
	"testing"
)

// TestFitTiles packs matrices whose rows and columns have different shares of
// zeros and finds the tiles again; of matrices without any structure it takes
// the first and says that it is a guess.
func TestFitTiles(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		typ, tile  string
		rows, cols int
	}{
		{"TL1", "256/128/32", 1024, 4096}, {"TL1", "128/64/64", 1024, 4096}, // both are presets
		{"TL1", "128/64/64", 640, 2560}, {"TL1", "160/32/32", 640, 2560}, {"TL1", "320/128/64", 640, 2560},
		{"TL2", "128/96/32", 640, 2560}, {"TL2", "320/192/32", 640, 2560},
		{"TL2", "160/96/32", 640, 2560}, // tritflow's own rule
	} {
		for _, structured := range []bool{true, false} {
			trits := make([]int8, c.rows*c.cols)
			byRow, byCol := make([]float64, c.rows), make([]float64, c.cols)
			for i := range byRow {
				byRow[i] = r.Float64()
			}
			for i := range byCol {
				byCol[i] = r.Float64()
			}
			for i := range trits {
				zeros := 0.4
				if structured {
					zeros = 0.3 + 0.1*byRow[i/c.cols] + 0.1*byCol[i%c.cols]
				}
				if r.Float64() >= zeros {
					trits[i] = int8(2*r.IntN(2) - 1)
				}
			}
			packed := mustLookup(t, c.typ+":"+c.tile)
			data := make([]byte, packed.Size(c.rows, c.cols))
			src := TritSource{Rows: c.rows, Cols: c.cols, Scale: 1, Trits: func(dst []int8, r int) error {
				copy(dst, trits[r*c.cols:])
				return nil
			}}
			if err := packed.EncodeTernary(data, src, nil); err != nil {
				t.Fatal(err)
			}
			plain := mustLookup(t, c.typ)
			fit, sure := plain.FitTiles(data, c.rows, c.cols)
			got, _ := fit.Tile(c.rows, c.cols)
			switch {
			case structured && (got.String() != c.tile || sure < FitSure):
				t.Errorf("%s %d × %d: found %v (%.1f ahead), packed as %s", c.typ, c.rows, c.cols, got, sure, c.tile)
			case !structured && (sure >= FitSure || got != plain.TilesFor(c.rows, c.cols)[0]):
				t.Errorf("%s %d × %d without structure: found %v (%.1f ahead)", c.typ, c.rows, c.cols, got, sure)
			}
		}
	}
}
