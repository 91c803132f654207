//go:build !noasm

package quantkern

import (
	"github.com/klauspost/cpuid/v2"

	"tritflow/quantkern/avx2"
	"tritflow/quantkern/avx512"
)

// available lists the vector tiers of this processor, best first. The AVX-512
// kernels use no VBMI: some virtual machines announce it and trap.
func available() []*tier {
	var tiers []*tier
	if cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512VNNI, cpuid.AVX2, cpuid.F16C) {
		tiers = append(tiers, &tierAVX512)
	}
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.F16C) {
		tiers = append(tiers, &tierAVX2)
	}
	return tiers
}

var tierAVX512 = tier{
	name:     "avx512",
	paired:   true,
	quantize: avx512.Quantize,
	tiles: map[string]tiles{
		"I2_S":  {avx512.I2SRow, []ternaryTile{avx512.I2Sx1, avx512.I2Sx2, avx512.I2Sx3, avx512.I2Sx4, avx512.I2Sx5, avx512.I2Sx6}},
		"TQ2_0": {avx512.TQ2Row, []ternaryTile{avx512.TQ2x1, avx512.TQ2x2, avx512.TQ2x3, avx512.TQ2x4, avx512.TQ2x5, avx512.TQ2x6}},
	},
	dotF32:        denseTiles{avx512.DotF32, avx512.DotF32x1, avx512.DotF32x4},
	dotF16:        denseTiles{avx512.DotF16, avx512.DotF16x1, avx512.DotF16x4},
	weightedF32x1: avx512.WeightedF32x1, weightedF32x4: avx512.WeightedF32x4,
	weightedF16x1: avx512.WeightedF16x1, weightedF16x4: avx512.WeightedF16x4,
	expSum: avx512.ExpSum, maxOf: avx512.Max, absMaxBits: avx512.AbsMaxBits, sumSquares: avx512.SumSquares,
	add: avx512.Add, scale: avx512.Scale, scaleMul: avx512.ScaleMul,
	relu2Mul: avx512.ReLU2Mul, siluMul: avx512.SiLUMul,
	toF16: avx512.ToF16, fromF16: avx512.FromF16, decodeQ8x0: avx512.DecodeQ8x0, ropeNeoX: avx512.RopeNeoX,
}

var tierAVX2 = tier{
	name:     "avx2",
	quantize: avx2.Quantize,
	tiles: map[string]tiles{
		"I2_S":  {rows: []ternaryTile{avx2.I2Sx1, avx2.I2Sx2}},
		"TQ2_0": {rows: []ternaryTile{avx2.TQ2x1, avx2.TQ2x2}},
	},
	dotF32:        denseTiles{avx2.DotF32, avx2.DotF32x1, nil},
	dotF16:        denseTiles{avx2.DotF16, avx2.DotF16x1, nil},
	weightedF32x1: avx2.WeightedF32x1, weightedF32x4: avx2.WeightedF32x4,
	weightedF16x1: avx2.WeightedF16x1, weightedF16x4: avx2.WeightedF16x4,
	expSum: avx2.ExpSum, maxOf: avx2.Max, absMaxBits: avx2.AbsMaxBits, sumSquares: avx2.SumSquares,
	add: avx2.Add, scale: avx2.Scale, scaleMul: avx2.ScaleMul,
	relu2Mul: avx2.ReLU2Mul, siluMul: avx2.SiLUMul,
	toF16: avx2.ToF16, fromF16: avx2.FromF16, decodeQ8x0: avx2.DecodeQ8x0, ropeNeoX: avx2.RopeNeoX,
}
