package requant

import (
	"fmt"
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// The types that Names offers, ternary ones first. q2_0 is llama.cpp's, with
// blocks of 64 values.
var (
	ternaryNames = []string{"i2_s", "i2_s_b", "i2_s_c", "tl1", "tl2", "tq1_0", "tq2_0", "q2_0", "q2_0_128", "iq2_bn", "iq1_bn"}
	floatNames   = []string{"f16", "f32"}
	tableNames   = []string{"f16", "f32", "bf16", "q8_0", "q6_k", "q4_0", "q4_1", "iq2_s"}
)

// MatrixNames are the types of blocks' matrices.
func MatrixNames() []string { return slices.Concat(ternaryNames, floatNames) }

// TableNames are the types of embedding and head.
func TableNames() []string { return slices.Clone(tableNames) }

// NameError: no such type.
type NameError struct {
	Name  string
	Known []string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("requant: no type %q to write; use one of %s", e.Name, strings.Join(e.Known, " "))
}

// MatrixType finds the type of matrices by its name, in any case.
func MatrixType(name string) (gguf.Type, error) { return byName(name, MatrixNames()) }

// TableType finds the type of embedding or head.
func TableType(name string) (gguf.Type, error) { return byName(name, tableNames) }

func byName(name string, known []string) (gguf.Type, error) {
	if t, ok := gguf.TypeByName(name); ok && slices.Contains(known, strings.ToLower(name)) {
		return t, nil
	}
	return gguf.TypeNone, &NameError{Name: name, Known: known}
}

// codec finds the codec of a type that is to be written.
func codec(t gguf.Type) (*quantkern.Codec, error) { return quantkern.Lookup(t.String()) }

// fileTypes are the values of general.file_type for files made of a type: those of
// llama.cpp and of bitnet.cpp, which collide in numbers that the tensors' own ids
// tell apart. Types without one are left to their ids.
var fileTypes = map[gguf.Type]uint32{
	gguf.TypeF32: 0, gguf.TypeF16: 1, gguf.TypeTQ1_0: 36, gguf.TypeTQ2_0: 37,
	gguf.TypeTL1: 38, gguf.TypeTL2: 39, gguf.TypeI2_S: 40, gguf.TypeI2_S_B: 40, gguf.TypeI2_S_C: 40,
}

// FileType is general.file_type for matrices of a type, if there is a value for it.
func FileType(t gguf.Type) (uint32, bool) {
	v, ok := fileTypes[t]
	return v, ok
}

// Layouts collects what a file should say of layouts that its types leave open.
type Layouts struct {
	i2s    string
	shapes [][2]int
	tiles  []uint32
}

// See takes note of a tensor that will be written.
func (l *Layouts) See(t gguf.Type, rows, cols int) error {
	switch t {
	case gguf.TypeI2_S:
		l.i2s = "A"
	case gguf.TypeI2_S_B:
		l.i2s = "B"
	case gguf.TypeI2_S_C:
		l.i2s = "C"
	case gguf.TypeTL1, gguf.TypeTL2:
		if slices.Contains(l.shapes, [2]int{rows, cols}) {
			return nil
		}
		c, err := codec(t)
		if err != nil {
			return err
		}
		tile, ok := c.Tile(rows, cols)
		if !ok {
			return c.Check(rows, cols)
		}
		l.shapes = append(l.shapes, [2]int{rows, cols})
		l.tiles = append(l.tiles, uint32(rows), uint32(cols), uint32(tile.BM), uint32(tile.BK), uint32(tile.Inner))
	}
	return nil
}

// Write sets the keys for what was seen, if any are needed.
func (l *Layouts) Write(set func(key string, value any)) {
	if l.i2s != "" {
		set(gguf.I2SLayoutKey, l.i2s)
	}
	if len(l.tiles) > 0 {
		set(gguf.TilesKey, l.tiles)
	}
}
