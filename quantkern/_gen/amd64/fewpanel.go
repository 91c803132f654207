package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fewPanel emits the dots of a panel with up to 16 rows of activations, or up to 32, for which
// memory is the limit: while a chunk is unpacked the one before is multiplied, and one
// further on is fetched, at the end of the rows one of the next panel.
func fewPanel(l layout, tiles int) {
	name := fmt.Sprintf("%sFewx%d", l.name, tiles)
	function(name, "func(dots *int32, a *int8, lda uintptr, w *byte, ldw, chunks uintptr, tiles *byte, rows uintptr)",
		fmt.Sprintf("%s writes the dots, 32 for each row of activations, of 32 rows of 2-bit codes and up to %d rows of activations, rows of each 16. tiles are 16 KB.", name, 16*tiles))
	acts := []reg.Register{reg.RSI, reg.RDI}[:tiles]
	read, write, stride, count := reg.RAX, reg.RDX, reg.RBX, reg.RCX
	bases := []reg.Register{reg.R8, reg.R9, reg.R10, reg.R11}
	ldw, ldw3, half, next := reg.R12, reg.R13, reg.R14, reg.R15
	Load(Param("rows"), count)
	configureTiles(count, read)
	Load(Param("a"), acts[0])
	if tiles > 1 {
		Load(Param("lda"), acts[1])
		ADDQ(acts[0], acts[1])
	}
	Load(Param("ldw"), ldw)
	MOVQ(ldw, half)
	SHLQ(U8(4), half)
	Load(Param("w"), bases[0])
	row := eachFourth(bases, ldw, ldw3)
	LEAQ(Mem{Base: bases[0], Disp: fewAhead * l.step}, next)
	Load(Param("tiles"), write)
	LEAQ(Mem{Base: write, Disp: chunkSteps * stepBytes}, read)
	MOVQ(I32(64), stride)
	rows := newUnpackRows(l, reg.ECX)
	Load(Param("chunks"), count)
	clearSums := func() {
		for t := range 2 * tiles {
			tileZero(t)
		}
	}
	clearSums()
	Label("chunks")
	for part := range 2 * chunkSteps {
		rows.block(row, part%4, Mem{Base: write, Disp: part / 4 * tileBytes})
		fetchFour(next, ldw, ldw3)
		if part == 3 {
			for _, b := range bases {
				ADDQ(half, b)
			}
		}
		if part%2 == 1 {
			multiplyStep(acts, read, stride, part/2)
		}
	}
	for _, b := range bases {
		SUBQ(half, b)
		ADDQ(I32(int32(l.step)), b)
	}
	// From 32 rows on back to the first, and one chunk further.
	SUBQ(half, next)
	SUBQ(half, next)
	ADDQ(I32(int32(l.step)), next)
	XCHGQ(read, write)
	afterFirst(count, clearSums, acts, chunkSteps*tileBytes)
	CMPQ(count, I32(fewAhead+1)) // so many are left
	JNE(LabelRef("same_panel"))
	ADDQ(half, next)
	ADDQ(half, next)
	SUBQ(ldw, next)
	Label("same_panel")
	DECQ(count)
	JNZ(LabelRef("chunks"))
	for q := range chunkSteps {
		multiplyStep(acts, read, stride, q)
	}
	Load(Param("dots"), write)
	MOVQ(I32(4*panelRows), stride)
	for t := range 2 * tiles {
		tileStore(t, Mem{Base: write, Index: stride, Scale: 1, Disp: t/2*16*4*panelRows + t%2*64})
	}
	releaseTiles()
	VZEROUPPER()
	RET()
}

// afterFirst emits that activations move on by so many bytes, chunks being how many chunks are left with this one. Before the
// first there was none, and what was multiplied is dropped instead.
func afterFirst(chunks reg.Register, drop func(), acts []reg.Register, bytes int) {
	CMPQ(chunks, argMem("chunks"))
	JNE(LabelRef("not_first"))
	drop()
	JMP(LabelRef("counted"))
	Label("not_first")
	for _, a := range acts {
		ADDQ(I32(int32(bytes)), a)
	}
	Label("counted")
}
