package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// ternaryTileVNNI emits the product of 4 rows of codes with n ≤ 3 activation rows
// through the VPDPBUSD of AVX-VNNI, for processors that have it without AVX-512.
// Registers 0 to 11 are sums.
func ternaryTileVNNI(l layout, n int) {
	w, a := tileRowsOf(l, n)
	mask := reg.Y15
	VMOVDQU(constant(0x03030303)[0], mask)
	acc := func(i, r int) reg.VecPhysical { return firstY(tileRows*i + r) }
	for i := range n {
		for r := range tileRows {
			VPXOR(acc(i, r), acc(i, r), acc(i, r))
		}
	}
	block := func(woff, aoff int) {
		codes, u, av := reg.Y12, reg.Y13, reg.Y14
		for r := range tileRows {
			VMOVDQU(w.row(r, woff), codes)
			for q, shift := range l.shifts {
				lowCodes(shift, mask, codes, u)
				for i := range n {
					VMOVDQU(a.row(i, aoff+32*q), av)
					dotBytes(acc(i, r), u, av)
				}
			}
		}
	}
	eachHalf(l, w, a, block)
	e := newEpilogue()
	for i := range n {
		sums := make([]reg.VecVirtual, tileRows)
		for r := range sums {
			sums[r] = YMM()
			VMOVDQU(acc(i, r), sums[r])
		}
		e.put(i, tileRows, i == n-1, sumInts(sums))
	}
	VZEROUPPER()
	RET()
}

// firstY is 256-bit register i.
func firstY(i int) reg.VecPhysical {
	return []reg.VecPhysical{reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11}[i]
}

// dotBytes is VPDPBUSD on 256 bits in its VEX encoding, which Go's assembler does not know: acc +=
// unsigned × signed, four bytes each.
func dotBytes(acc, unsigned, signed reg.VecPhysical) {
	d, u, s := int(acc.PhysicalIndex()), int(unsigned.PhysicalIndex()), int(signed.PhysicalIndex())
	emitVEX(vex{prefix: prefix66, wide: true, v: u, r: d > 7, b: s > 7, opcode: 0x50}, []byte{0xc0 | byte(d&7)<<3 | byte(s&7)}, []Op{acc}, acc, unsigned, signed)
}

// int8ProbeVNNI is int8Probe by the same instruction.
func int8ProbeVNNI() {
	function("Int8Probe", "func(rounds uintptr) uint32", "Int8Probe adds up 1024 products of int8 ones a round, modulo 2^32.")
	ones := reg.Y15
	VMOVDQU(constant(0x01010101)[0], ones)
	const parts = 8
	for i := range parts {
		VPXOR(firstY(i), firstY(i), firstY(i))
	}
	loop("rounds", arg("rounds"), func() {
		for range 1024 / 32 / parts {
			for i := range parts {
				dotBytes(firstY(i), ones, ones)
			}
		}
	})
	sums := make([]reg.VecVirtual, parts)
	for i := range sums {
		sums[i] = YMM()
		VMOVDQU(firstY(i), sums[i])
	}
	returnSum(sums)
	VZEROUPPER()
	RET()
}
