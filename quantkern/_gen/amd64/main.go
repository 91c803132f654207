// Command amd64 writes the AVX2, AVX-512 and AMX kernels of quantkern: TIER=avx2, avxvnni,
// avx512 or amx in the environment chooses, the other flags are avo's.
package main

import (
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!noasm")
	layouts := []layout{
		{"I2S", 64, [4]uint8{6, 4, 2, 0}},
		{"TQ2", 66, [4]uint8{0, 2, 4, 6}},
	}
	switch os.Getenv("TIER") {
	case "avx512":
		wide = true
		for _, l := range layouts {
			ternaryStream(l, true)
			ternaryStream(l, false)
			for n := 1; n <= 6; n++ {
				ternaryTile(l, n)
			}
		}
		quantize512("Quantize", 64)
		for n := 1; n <= 4; n++ {
			for _, past := range []bool{true, false} {
				screenTile(n, 6, past)
				screenTile(n, 8, past)
			}
		}
		for n := 1; n <= 6; n++ {
			coarseTile(n, false)
			coarseTile(n, true)
		}
		for n := 1; n <= 4; n++ {
			nibbleTile(n, true)
		}
		nibbleTile(1, false)
	case "amx":
		wide = true
		quantize512("QuantizeTiles", 16*64)
		for _, l := range layouts {
			unpackPanel(l)
			fewPanel(l, 1)
			fewPanel(l, 2)
		}
		multiplyPanel()
		finishPanel()
		coarsePanel(1)
		coarsePanel(2)
		coarseEnd()
		int8ProbeTiles()
		Generate()
		return
	case "avxvnni":
		for _, l := range layouts {
			for n := 1; n <= 3; n++ {
				ternaryTileVNNI(l, n)
			}
		}
		int8ProbeVNNI()
		Generate()
		return
	case "avx2":
		for _, l := range layouts {
			ternaryTile256(l, 1)
			ternaryTile256(l, 2)
		}
		quantize256()
		screenTile256(6)
		screenTile256(8)
	default:
		fmt.Fprintln(os.Stderr, "TIER must be avx2, avxvnni, avx512 or amx")
		os.Exit(2)
	}
	for _, e := range []struct{ elem, name string }{{"float32", "F32"}, {"uint16", "F16"}} {
		dotTile("Dot"+e.name, e.elem, 1, 1)
		dotTile("Dot"+e.name+"x1", e.elem, 4, 1)
		if wide {
			dotTile("Dot"+e.name+"x4", e.elem, 4, 4)
		}
		weighted("Weighted"+e.name+"x1", e.elem, 1)
		weighted("Weighted"+e.name+"x4", e.elem, 4)
	}
	screenCodes()
	if wide {
		weightedHeads()
		weightedRows()
		scores("float32", "F32")
		scores("uint16", "F16")
	}
	constants := expTable()
	expSum(constants)
	sumSquares()
	elementwiseAll(constants)
	toF16()
	fromF16()
	absMaxBits()
	maxF32()
	ropeNeoX()
	for _, p := range packings {
		p.decode()
		p.stream()
	}
	fetch()
	readProbe()
	int8Probe()
	Generate()
}
