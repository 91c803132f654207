package gguf

import (
	"fmt"
	"strings"
)

// Type is a tensor's storage type, already resolved: ids that different forks
// use for different layouts are different Types. The zero Type is none.
type Type uint8

// All types that a file may hold. Some exist only by name: a file with them
// can be inspected though nothing here computes with them.
const (
	TypeNone Type = iota
	TypeF32
	TypeF16
	TypeQ4_0
	TypeQ4_1
	TypeQ5_0
	TypeQ5_1
	TypeQ8_0
	TypeQ8_1
	TypeQ2_K
	TypeQ3_K
	TypeQ4_K
	TypeQ5_K
	TypeQ6_K
	TypeQ8_K
	TypeIQ2_XXS
	TypeIQ2_XS
	TypeIQ3_XXS
	TypeIQ1_S
	TypeIQ4_NL
	TypeIQ3_S
	TypeIQ2_S
	TypeIQ4_XS
	TypeI8
	TypeI16
	TypeI32
	TypeI64
	TypeF64
	TypeIQ1_M
	TypeBF16
	TypeQ4_0_4_4
	TypeQ4_0_4_8
	TypeQ4_0_8_8
	TypeTQ1_0
	TypeTQ2_0
	TypeI2_S
	TypeI2_S_B
	TypeI2_S_C
	TypeIQ4_NL_4_4
	TypeI8_S
	TypeIQ4_NL_4_8
	TypeTL1
	TypeIQ4_NL_8_8
	TypeMXFP4
	TypeTL2
	TypeNVFP4
	TypeQ1_0
	TypeQ2_0
	TypeQ2_0_128
	TypeIQ1_BN
	TypeIQ2_BN
	TypeIQ2_BN_R4
	numTypes
)

// typeInfo is a row of the type table. A tensor's size is
// rows × (head + ne[0]/block × bytes), or whole(ne[0], rows).
type typeInfo struct {
	name     string
	id       uint32
	block    uint64                        // values of a row that are packed together
	bytes    uint64                        // bytes of a block
	head     uint64                        // bytes in front of each row's blocks
	cols     uint64                        // ne[0] must be a multiple of it; 0 = block
	rows     uint64                        // as cols, for the number of rows; 0 = 1
	whole    func(ne0, rows uint64) uint64 // size of types that are laid out as one run
	minCols  uint64                        // least ne[0]
	fileType uint32                        // general.file_type of bitnet.cpp files made of this type
	onDemand bool                          // chosen by Options only, never from the id alone
}

// typeTable is everything that is known about types. Where rows share an id,
// the first is what an undecidable file is taken to hold (resolve.go).
//
// Ids and sizes: llama.cpp's and bitnet.cpp's ggml.h, ik_llama.cpp's ggml.h.
var typeTable = [numTypes]typeInfo{
	TypeNone:       {name: "none", block: 1, onDemand: true},
	TypeF32:        {name: "F32", id: 0, block: 1, bytes: 4},
	TypeF16:        {name: "F16", id: 1, block: 1, bytes: 2},
	TypeQ4_0:       {name: "Q4_0", id: 2, block: 32, bytes: 18},
	TypeQ4_1:       {name: "Q4_1", id: 3, block: 32, bytes: 20},
	TypeQ5_0:       {name: "Q5_0", id: 6, block: 32, bytes: 22},
	TypeQ5_1:       {name: "Q5_1", id: 7, block: 32, bytes: 24},
	TypeQ8_0:       {name: "Q8_0", id: 8, block: 32, bytes: 34},
	TypeQ8_1:       {name: "Q8_1", id: 9, block: 32, bytes: 36},
	TypeQ2_K:       {name: "Q2_K", id: 10, block: 256, bytes: 84},
	TypeQ3_K:       {name: "Q3_K", id: 11, block: 256, bytes: 110},
	TypeQ4_K:       {name: "Q4_K", id: 12, block: 256, bytes: 144},
	TypeQ5_K:       {name: "Q5_K", id: 13, block: 256, bytes: 176},
	TypeQ6_K:       {name: "Q6_K", id: 14, block: 256, bytes: 210},
	TypeQ8_K:       {name: "Q8_K", id: 15, block: 256, bytes: 292},
	TypeIQ2_XXS:    {name: "IQ2_XXS", id: 16, block: 256, bytes: 66},
	TypeIQ2_XS:     {name: "IQ2_XS", id: 17, block: 256, bytes: 74},
	TypeIQ3_XXS:    {name: "IQ3_XXS", id: 18, block: 256, bytes: 98},
	TypeIQ1_S:      {name: "IQ1_S", id: 19, block: 256, bytes: 50},
	TypeIQ4_NL:     {name: "IQ4_NL", id: 20, block: 32, bytes: 18},
	TypeIQ3_S:      {name: "IQ3_S", id: 21, block: 256, bytes: 110},
	TypeIQ2_S:      {name: "IQ2_S", id: 22, block: 256, bytes: 82},
	TypeIQ4_XS:     {name: "IQ4_XS", id: 23, block: 256, bytes: 136},
	TypeI8:         {name: "I8", id: 24, block: 1, bytes: 1},
	TypeI16:        {name: "I16", id: 25, block: 1, bytes: 2},
	TypeI32:        {name: "I32", id: 26, block: 1, bytes: 4},
	TypeI64:        {name: "I64", id: 27, block: 1, bytes: 8},
	TypeF64:        {name: "F64", id: 28, block: 1, bytes: 8},
	TypeIQ1_M:      {name: "IQ1_M", id: 29, block: 256, bytes: 56},
	TypeBF16:       {name: "BF16", id: 30, block: 1, bytes: 2},
	TypeQ4_0_4_4:   {name: "Q4_0_4_4", id: 31, block: 32, bytes: 18},
	TypeQ4_0_4_8:   {name: "Q4_0_4_8", id: 32, block: 32, bytes: 18},
	TypeQ4_0_8_8:   {name: "Q4_0_8_8", id: 33, block: 32, bytes: 18},
	TypeTQ1_0:      {name: "TQ1_0", id: 34, block: 256, bytes: 54},
	TypeTQ2_0:      {name: "TQ2_0", id: 35, block: 256, bytes: 66},
	TypeI2_S:       {name: "I2_S", id: 36, block: 1, whole: quarterAndScale, cols: 128, fileType: 40},
	TypeI2_S_B:     {name: "I2_S_B", id: 36, block: 1, whole: quarterAndScale, cols: 64, onDemand: true},
	TypeI2_S_C:     {name: "I2_S_C", id: 36, block: 1, whole: quarterAndScale, rows: 4, onDemand: true},
	TypeIQ4_NL_4_4: {name: "IQ4_NL_4_4", id: 36, block: 32, bytes: 18},
	TypeI8_S:       {name: "I8_S", id: 37, block: 1, bytes: 1},
	TypeIQ4_NL_4_8: {name: "IQ4_NL_4_8", id: 37, block: 32, bytes: 18},
	TypeTL1:        {name: "TL1", id: 38, block: 1, whole: quarterAndScale, cols: 4, fileType: 38},
	TypeIQ4_NL_8_8: {name: "IQ4_NL_8_8", id: 38, block: 32, bytes: 18},
	TypeMXFP4:      {name: "MXFP4", id: 39, block: 32, bytes: 17},
	TypeTL2:        {name: "TL2", id: 39, block: 1, whole: tl2Size, minCols: 256, fileType: 39},
	TypeNVFP4:      {name: "NVFP4", id: 40, block: 64, bytes: 36},
	TypeQ1_0:       {name: "Q1_0", id: 41, block: 128, bytes: 18},
	TypeQ2_0:       {name: "Q2_0", id: 42, block: 64, bytes: 18},
	TypeQ2_0_128:   {name: "Q2_0_128", id: 42, block: 128, bytes: 34},
	TypeIQ1_BN:     {name: "IQ1_BN", id: 134, block: 64, bytes: 13, head: 2},
	TypeIQ2_BN:     {name: "IQ2_BN", id: 135, block: 64, bytes: 16, head: 4},
	TypeIQ2_BN_R4:  {name: "IQ2_BN_R4", id: 335, block: 64, bytes: 16, head: 4, rows: 4},
}

// retired are ids that were once given out and that no file should hold now.
var retired = map[uint32]string{
	4:   "Q4_2, removed from the format in 2023",
	5:   "Q4_3, removed from the format in 2023",
	136: "Q8_K64, an activation type of ik_llama.cpp that files do not hold",
	142: "IQ2_TN of early ik_llama.cpp, withdrawn (another fork uses the id for its own 2-bit type)",
	143: "IQ1_TN of early ik_llama.cpp, withdrawn",
}

// quarterAndScale is the size of I2_S and TL1: four codes a byte, one float32
// scale, filler up to 32 bytes.
func quarterAndScale(ne0, rows uint64) uint64 { return ne0*rows/4 + 32 }

// tl2Size is bitnet.cpp's formula, divisions truncating from left to right.
// The 256 is fixed in the formula and only makes the room big enough.
func tl2Size(ne0, rows uint64) uint64 {
	x := (ne0-256)*rows/3*5/8 + 256*rows/2*4/8
	return pad(x, 32) + 32
}

// String returns the type's name ("I2_S", "TQ2_0", "F16" ...): the name by
// which quantkern's codecs are found.
func (t Type) String() string {
	if t >= numTypes {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeTable[t].name
}

// TypeByName finds a Type by its String, ignoring case.
func TypeByName(name string) (Type, bool) {
	for t := TypeNone + 1; t < numTypes; t++ {
		if strings.EqualFold(typeTable[t].name, name) {
			return t, true
		}
	}
	return TypeNone, false
}

// Types lists every Type in the table's order.
func Types() []Type {
	all := make([]Type, 0, numTypes-1)
	for t := TypeNone + 1; t < numTypes; t++ {
		all = append(all, t)
	}
	return all
}

// info is the type's row; unknown numbers get the row of TypeNone.
func (t Type) info() *typeInfo {
	if t >= numTypes {
		t = TypeNone
	}
	return &typeTable[t]
}

// ID is the number that stands for the type in a file.
func (t Type) ID() uint32 { return t.info().id }

// BlockElements is the number of values along ne[0] that must stay together (1 for whole-tensor types).
func (t Type) BlockElements() uint64 { return t.info().block }

// maxElements keeps every size formula of the table inside 64 bits; no disk
// holds a tensor of that many values.
const maxElements = 1 << 60

// Size is the number of bytes of a tensor of this type and shape, padding not
// counted. dims is in ne order, at most four, none meaning a scalar. The error
// is a *FormatError of kind ErrShape, ErrLimit or ErrType.
func (t Type) Size(dims []uint64) (uint64, error) {
	size, bad := t.size(dims)
	if bad != nil {
		return 0, bad
	}
	return size, nil
}

func (t Type) size(dims []uint64) (uint64, *FormatError) {
	if t == TypeNone || t >= numTypes {
		return 0, &FormatError{Kind: ErrType, Reason: fmt.Sprintf("%v has no size", t), Hint: "use a type of gguf.Types"}
	}
	ne0, rows, bad := shape(dims)
	if bad != nil {
		return 0, bad
	}
	in := &typeTable[t]
	if cols := max(in.cols, in.block); ne0%cols != 0 || ne0 < in.minCols {
		return 0, &FormatError{Kind: ErrShape, Field: "ne[0]",
			Reason: fmt.Sprintf("%d columns cannot be held as %v (multiple of %d, at least %d)", ne0, t, cols, in.minCols),
			Hint:   "convert the model again, keeping this tensor in F16"}
	}
	if in.rows > 1 && rows%in.rows != 0 {
		return 0, &FormatError{Kind: ErrShape, Field: "ne[1]",
			Reason: fmt.Sprintf("%d rows cannot be held as %v (multiple of %d)", rows, t, in.rows),
			Hint:   "the tensor has another layout"}
	}
	if in.whole != nil {
		return in.whole(ne0, rows), nil
	}
	return rows * (in.head + ne0/in.block*in.bytes), nil
}

// shape reduces dims to columns and rows.
func shape(dims []uint64) (ne0, rows uint64, bad *FormatError) {
	if len(dims) > maxDims {
		return 0, 0, &FormatError{Kind: ErrShape, Field: "n_dims", Reason: fmt.Sprintf("%d dimensions, at most %d are possible", len(dims), maxDims)}
	}
	ne0, rows = 1, 1
	held := uint64(1) // product of the dims that are not 0
	for i, d := range dims {
		if d > 0 {
			if d > maxElements || held > maxElements/d {
				return 0, 0, &FormatError{Kind: ErrLimit, Field: fmt.Sprintf("ne[%d]", i), Reason: fmt.Sprintf("shape %v has too many elements", dims),
					Hint: "the file is damaged; download or convert it again"}
			}
			held *= d
		}
		if i == 0 {
			ne0 = d
		} else {
			rows *= d
		}
	}
	return ne0, rows, nil
}

// pad rounds n up to a multiple of align, a power of two.
func pad(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }
