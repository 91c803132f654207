//go:build !noasm

package quantkern

import (
	"slices"
	"sync"

	"github.com/klauspost/cpuid/v2"

	"tritflow/quantkern/amx"
	"tritflow/quantkern/avx2"
	"tritflow/quantkern/avx512"
	"tritflow/quantkern/avxvnni"
)

// available lists the vector tiers of this processor, best first. The AVX-512
// kernels use no VBMI: some virtual machines announce it and trap.
var available = sync.OnceValue(func() []*tier {
	var tiers []*tier
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI, cpuid.AVX2, cpuid.F16C) {
		tierAVX512.fetchPast(cpuid.CPU.VendorID == cpuid.AMD)
		if cpuid.CPU.Supports(cpuid.AMXTILE, cpuid.AMXINT8) && amx.Permitted() {
			tiers = append(tiers, withPanels(tierAVX512))
		}
		tiers = append(tiers, &tierAVX512)
	}
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.F16C) {
		if cpuid.CPU.Supports(cpuid.AVXVNNI) {
			tiers = append(tiers, withDotBytes(tierAVX2))
		}
		tiers = append(tiers, &tierAVX2)
	}
	return slices.Clip(tiers)
})

// fetchPast picks the kernels that fetch what is read once a token past the larger caches, or through them to the second.
// Past the second one Zen 5 reads faster, and a Xeon has so few loads under way that it reads a third (8.9 GB/s a thread instead of 26).
func (t *tier) fetchPast(past bool) {
	rows := map[string]ternaryTile{"I2_S": avx512.I2SRowKept, "TQ2_0": avx512.TQ2RowKept}
	six := []screenTile{avx512.Screen6x1Kept, avx512.Screen6x2Kept, avx512.Screen6x3Kept, avx512.Screen6x4Kept}
	eight := []screenTile{avx512.Screen8x1Kept, avx512.Screen8x2Kept, avx512.Screen8x3Kept, avx512.Screen8x4Kept}
	near, nibbles := t.screens[1].coarse, nibbleTile(avx512.Nibblesx1Kept)
	if past {
		rows = map[string]ternaryTile{"I2_S": avx512.I2SRow, "TQ2_0": avx512.TQ2Row}
		six = []screenTile{avx512.Screen6x1, avx512.Screen6x2, avx512.Screen6x3, avx512.Screen6x4}
		eight = []screenTile{avx512.Screen8x1, avx512.Screen8x2, avx512.Screen8x3, avx512.Screen8x4}
		near = []coarseTile{avx512.CoarseNearx1, avx512.CoarseNearx2, avx512.CoarseNearx3, avx512.CoarseNearx4, avx512.CoarseNearx5, avx512.CoarseNearx6}
		nibbles = avx512.Nibblesx1
	}
	for name, row := range rows {
		of := t.tiles[name]
		of.row = row
		t.tiles[name] = of
	}
	t.screens[0].fine, t.screens[1].fine, t.screens[1].coarseNear = six, eight, near
	t.nibbles = append([]nibbleTile{nibbles}, t.nibbles[1:]...)
}

// tierAVX512 is whole after fetchPast.
var tierAVX512 = tier{
	name:     "avx512",
	paired:   true,
	quantize: avx512.Quantize,
	tiles: map[string]tiles{
		"I2_S":  {rows: []ternaryTile{avx512.I2Sx1, avx512.I2Sx2, avx512.I2Sx3, avx512.I2Sx4, avx512.I2Sx5, avx512.I2Sx6}},
		"TQ2_0": {rows: []ternaryTile{avx512.TQ2x1, avx512.TQ2x2, avx512.TQ2x3, avx512.TQ2x4, avx512.TQ2x5, avx512.TQ2x6}},
	},
	dotF32: denseTiles{avx512.DotF32, avx512.DotF32x1, avx512.DotF32x4},
	dotF16: denseTiles{avx512.DotF16, avx512.DotF16x1, avx512.DotF16x4},
	packed: map[string]packed{
		"F32":   pack(avx512.DecodeF32, avx512.StreamF32),
		"F16":   pack(avx512.DecodeF16, avx512.StreamF16),
		"BF16":  pack(avx512.DecodeBF16, avx512.StreamBF16),
		"Q8_0":  pack(avx512.DecodeQ8x0, avx512.StreamQ8x0),
		"Q4_0":  bind(avx512.DecodeQ4x0, avx512.StreamQ4x0, &f16Table[0]),
		"Q4_1":  bind(avx512.DecodeQ4x1, avx512.StreamQ4x1, &f16Table[0]),
		"Q4_K":  pack(avx512.DecodeQ4K, avx512.StreamQ4K),
		"Q5_K":  pack(avx512.DecodeQ5K, avx512.StreamQ5K),
		"Q6_K":  pack(avx512.DecodeQ6K, avx512.StreamQ6K),
		"IQ2_S": bind(avx512.DecodeIQ2S, avx512.StreamIQ2S, &iq2sGrid[0]),
	},
	screens: [bitChoices]screenTiles{
		1: {coarse: []coarseTile{avx512.Coarsex1, avx512.Coarsex2, avx512.Coarsex3, avx512.Coarsex4, avx512.Coarsex5, avx512.Coarsex6}},
	},
	nibbles:       []nibbleTile{avx512.Nibblesx1, avx512.Nibblesx2, avx512.Nibblesx3, avx512.Nibblesx4},
	screenCodes:   avx512.ScreenCodes,
	weightedF32x1: avx512.WeightedF32x1, weightedF32x4: avx512.WeightedF32x4,
	weightedF16x1: avx512.WeightedF16x1, weightedF16x4: avx512.WeightedF16x4, weightedF16h4: avx512.WeightedF16h4, weightedF32h8: avx512.WeightedF32h8,
	scoresF32: avx512.ScoresF32, scoresF16: avx512.ScoresF16,
	expSum: avx512.ExpSum, maxOf: avx512.Max, absMaxBits: avx512.AbsMaxBits, sumSquares: avx512.SumSquares,
	add: avx512.Add, scale: avx512.Scale, scaleMul: avx512.ScaleMul,
	relu2Mul: avx512.ReLU2Mul, siluMul: avx512.SiLUMul,
	toF16: avx512.ToF16, fromF16: avx512.FromF16, ropeNeoX: avx512.RopeNeoX,
	fetch: avx512.Fetch, readProbe: avx512.ReadProbe, int8Probe: avx512.Int8Probe,
}

// withPanels is tierAVX512 with products on tile registers.
func withPanels(t tier) *tier {
	t.name = "amx"
	t.panels = panels{
		quantize: amx.QuantizeTiles,
		unpack:   map[string]unpackPanel{"I2_S": amx.I2SPanel, "TQ2_0": amx.TQ2Panel},
		few:      map[string][2]fewPanel{"I2_S": {amx.I2SFewx1, amx.I2SFewx2}, "TQ2_0": {amx.TQ2Fewx1, amx.TQ2Fewx2}},
		multiply: amx.Multiply,
		finish:   amx.Finish,
		bound:    boundPanels,
	}
	t.int8Probe = func(rounds uintptr) uint32 {
		const products = 65536 / ProbeProducts // a round of the other, in rounds of this one
		var room [4096]byte
		return amx.Int8Probe(rounds/products, &room[0]) + avx512.Int8Probe(rounds%products)
	}
	return &t
}

var tierAVX2 = tier{
	name:     "avx2",
	quantize: avx2.Quantize,
	tiles: map[string]tiles{
		"I2_S":  {rows: []ternaryTile{avx2.I2Sx1, avx2.I2Sx2}},
		"TQ2_0": {rows: []ternaryTile{avx2.TQ2x1, avx2.TQ2x2}},
	},
	dotF32: denseTiles{avx2.DotF32, avx2.DotF32x1, nil},
	dotF16: denseTiles{avx2.DotF16, avx2.DotF16x1, nil},
	packed: map[string]packed{
		"F32":   pack(avx2.DecodeF32, avx2.StreamF32),
		"F16":   pack(avx2.DecodeF16, avx2.StreamF16),
		"BF16":  pack(avx2.DecodeBF16, avx2.StreamBF16),
		"Q8_0":  pack(avx2.DecodeQ8x0, avx2.StreamQ8x0),
		"Q4_0":  bind(avx2.DecodeQ4x0, avx2.StreamQ4x0, &f16Table[0]),
		"Q4_1":  bind(avx2.DecodeQ4x1, avx2.StreamQ4x1, &f16Table[0]),
		"Q4_K":  pack(avx2.DecodeQ4K, avx2.StreamQ4K),
		"Q5_K":  pack(avx2.DecodeQ5K, avx2.StreamQ5K),
		"Q6_K":  pack(avx2.DecodeQ6K, avx2.StreamQ6K),
		"IQ2_S": bind(avx2.DecodeIQ2S, avx2.StreamIQ2S, &iq2sGrid[0]),
	},
	screens:       [bitChoices]screenTiles{{fine: []screenTile{avx2.Screen6x1}}, {fine: []screenTile{avx2.Screen8x1}}},
	screenCodes:   avx2.ScreenCodes,
	weightedF32x1: avx2.WeightedF32x1, weightedF32x4: avx2.WeightedF32x4,
	weightedF16x1: avx2.WeightedF16x1, weightedF16x4: avx2.WeightedF16x4,
	expSum: avx2.ExpSum, maxOf: avx2.Max, absMaxBits: avx2.AbsMaxBits, sumSquares: avx2.SumSquares,
	add: avx2.Add, scale: avx2.Scale, scaleMul: avx2.ScaleMul,
	relu2Mul: avx2.ReLU2Mul, siluMul: avx2.SiLUMul,
	toF16: avx2.ToF16, fromF16: avx2.FromF16, ropeNeoX: avx2.RopeNeoX,
	fetch: avx2.Fetch, readProbe: avx2.ReadProbe, int8Probe: avx2.Int8Probe,
}

// withDotBytes is tierAVX2 with ternary products by an instruction of their own.
func withDotBytes(t tier) *tier {
	t.name = "avxvnni"
	t.tiles = map[string]tiles{
		"I2_S":  {rows: []ternaryTile{avxvnni.I2Sx1, avxvnni.I2Sx2, avxvnni.I2Sx3}},
		"TQ2_0": {rows: []ternaryTile{avxvnni.TQ2x1, avxvnni.TQ2x2, avxvnni.TQ2x3}},
	}
	t.int8Probe = avxvnni.Int8Probe
	return &t
}

// bind gives kernels the table that they look values up in.
func bind[T any](
	decode func(dst *float32, src *byte, blocks, ahead uintptr, table *T),
	stream func(dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx, blocks uintptr, table *T),
	table *T,
) packed {
	return packed{
		decode: func(dst *float32, src *byte, blocks, ahead uintptr) { decode(dst, src, blocks, ahead, table) },
		stream: func(dst *float32, ldd uintptr, w *byte, ldw uintptr, x *float32, ldx, blocks uintptr) {
			stream(dst, ldd, w, ldw, x, ldx, blocks, table)
		},
		decodeName: kernelName(decode),
		streamName: kernelName(stream),
	}
}
