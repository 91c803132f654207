package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// screenCodes emits the rounding of a row to codes, 64 values a chunk and 256
// bytes to the next: q = round(w·inverse). Of six bits, v = 2·(q & −4) + 3 with half of
// the scale, and of eight, v = q with the scale, it gives the sums of the float32 squares of
// the differences w − scale·v, in float64 lanes, and of v².
func screenCodes() {
	const chunk, step = 64, 256
	var order Mem
	if !wide {
		order = GLOBL("codeorder", RODATA|NOPTR)
		for i, v := range []uint32{0, 4, 1, 5, 0, 4, 1, 5} {
			DATA(4*i, U32(v))
		}
	}
	function("ScreenCodes", "func(codes *int8, w *float32, chunks uintptr, scale, inverse float32) (miss6, miss8 float64, norm6, norm8 int32)",
		"ScreenCodes rounds a row to codes and returns Σ(w−ŵ)² and Σv² of six and of eight bits.")
	codes, w := arg("codes"), arg("w")
	scale, inverse := vreg(), vreg()
	VBROADCASTSS(argMem("scale"), scale)
	VBROADCASTSS(argMem("inverse"), inverse)
	ints := func(name string, v uint32) Mem {
		return global(name, 4, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v)
	}
	magic, six, middle := ints("codemagic", roundMagic), ints("codesix", 0xfffffffc), ints("codemiddle", 3)
	half := ints("codehalf", math.Float32bits(0.5))
	misses, norms := [2]sums{newSums(), newSums()}, [2]reg.VecVirtual{vreg(), vreg()}
	zeroReg(norms[0])
	zeroReg(norms[1])
	part := bytesPerPart()
	loop("chunks", arg("chunks"), func() {
		for off := 0; off < chunk; off += 16 {
			q := make([]reg.VecVirtual, 64/part)
			for i := range q {
				v, d, at := vreg(), vreg(), Mem{Base: w, Disp: 4*off + part*i}
				q[i] = vreg()
				VMULPS(at, inverse, q[i])
				VADDPS(magic, q[i], q[i])
				VPSUBD(magic, q[i], q[i])
				count := func(j int, v reg.VecVirtual) {
					VPMULLD(v, v, d)
					VPADDD(d, norms[j], norms[j])
					VCVTDQ2PS(v, d)
					VMULPS(scale, d, d)
					if j == 0 {
						VMULPS(half, d, d) // exact, like the product
					}
					VSUBPS(at, d, d)
					VMULPS(d, d, d)
					misses[j].add(i, d)
				}
				count(1, q[i])
				if wide {
					VPANDD(six, q[i], v)
				} else {
					VPAND(six, q[i], v)
				}
				VPADDD(v, v, v)
				VPADDD(middle, v, v)
				count(0, v)
			}
			if wide {
				VPMOVDB(q[0], Mem{Base: codes, Disp: off})
				continue
			}
			VPACKSSDW(q[1], q[0], q[0]) // 0-3 8-11 | 4-7 12-15
			VPACKSSWB(q[0], q[0], q[0]) // each half twice
			perm := YMM()
			VMOVDQU(order, perm)
			VPERMD(q[0], perm, q[0])
			VMOVDQU(q[0].AsX(), Mem{Base: codes, Disp: off})
		}
		ADDQ(I32(step), codes)
		ADDQ(I32(4*chunk), w)
	})
	for j := range misses {
		Store(misses[j].total(), ReturnIndex(j))
		r := GP32()
		VMOVD(foldPart(norms[j], addInts), r)
		Store(r, ReturnIndex(2+j))
	}
	VZEROUPPER()
	RET()
}
