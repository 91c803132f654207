//go:build !noasm

package quantkern

import (
	"github.com/klauspost/cpuid/v2"

	"tritflow/quantkern/neon"
)

// available lists the vector tiers of this processor, best first. Every arm64
// processor has NEON.
func available() []*tier {
	if cpuid.CPU.Supports(cpuid.ASIMDDP) {
		return []*tier{&tierDotProd, &tierNEON}
	}
	return []*tier{&tierNEON}
}

var tierNEON = tier{
	name:     "neon",
	quantize: neon.Quantize,
	tiles: map[string]tiles{
		"I2_S":  {rows: []ternaryTile{neon.I2Sx1, neon.I2Sx2}},
		"TQ2_0": {rows: []ternaryTile{neon.TQ2x1, neon.TQ2x2}},
	},
	dotF32:        denseTiles{neon.DotF32, neon.DotF32x1, nil},
	dotF16:        denseTiles{neon.DotF16, neon.DotF16x1, nil},
	packed:        map[string]packed{"Q8_0": pack(neon.DecodeQ8x0, nil)},
	screens:       [bitChoices]screenTiles{{fine: []screenTile{neon.Screen6x1}}, {fine: []screenTile{neon.Screen8x1}}},
	weightedF32x1: neon.WeightedF32x1, weightedF32x4: neon.WeightedF32x4,
	weightedF16x1: neon.WeightedF16x1, weightedF16x4: neon.WeightedF16x4,
	expSum: neon.ExpSum, maxOf: neon.Max, absMaxBits: neon.AbsMaxBits, sumSquares: neon.SumSquares,
	add: neon.Add, scale: neon.Scale, scaleMul: neon.ScaleMul,
	relu2Mul: neon.ReLU2Mul, siluMul: neon.SiLUMul,
	toF16: neon.ToF16, fromF16: neon.FromF16, ropeNeoX: neon.RopeNeoX,
	readProbe: neon.ReadProbe, int8Probe: neon.Int8Probe,
}

// tierDotProd is tierNEON with the dot-product instruction in the ternary
// products and the probe.
var tierDotProd = func() tier {
	t := tierNEON
	t.name = "neon_dotprod"
	t.tiles = map[string]tiles{
		"I2_S":  {rows: []ternaryTile{neon.I2SDotx1, neon.I2SDotx2}},
		"TQ2_0": {rows: []ternaryTile{neon.TQ2Dotx1, neon.TQ2Dotx2}},
	}
	t.int8Probe = neon.Int8ProbeDot
	return t
}()
