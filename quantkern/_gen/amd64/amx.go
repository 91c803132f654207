package main

import (
	"fmt"
	"sync"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Instructions, above all on tile registers, which neither avo nor Go's assembler know: bytes,
// after volume 2 of Intel's manual (AMX instructions are VEX-encoded, map 0F38, W0,
// L 128). Registers are physical ones.

// prefixes of the encoding.
const (
	prefixNone = iota
	prefix66
	prefixF3
	prefixF2
)

// emitVEX emits an instruction with the last bytes given; r, x and b extend the
// register, the index and the base, v is the second source.
func emitVEX(prefix, v int, r, x, b bool, opcode byte, rest []byte, inputs ...Op) {
	inverted := func(bit bool, at uint) byte {
		if bit {
			return 0
		}
		return 1 << at
	}
	emit(append([]byte{0xc4, inverted(r, 7) | inverted(x, 6) | inverted(b, 5) | 2, byte(^v&15)<<3 | byte(prefix), opcode}, rest...), inputs...)
}

// emit emits an instruction that reads inputs.
func emit(bytes []byte, inputs ...Op) {
	for i, c := range bytes {
		ins := &ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(c)}}
		if i == 0 {
			ins.Inputs = inputs
		}
		Instruction(ins)
	}
}

// number is that of a general register in instructions.
func number(r reg.Register) int {
	p, ok := r.(reg.GPPhysical)
	if !ok {
		panic(fmt.Sprintf("%v is no physical register", r))
	}
	return int(p.PhysicalIndex())
}

// rowsOf encodes memory that a tile goes to or comes from: the index is the stride of
// its rows.
func rowsOf(prefix int, opcode byte, tile int, m Mem) {
	base, stride := number(m.Base), number(m.Index)
	rest := []byte{0x80 | byte(tile)<<3 | 4, byte(stride&7)<<3 | byte(base&7)}
	for i := range 4 {
		rest = append(rest, byte(m.Disp>>(8*i)))
	}
	emitVEX(prefix, 0, false, stride > 7, base > 7, opcode, rest, m.Base, m.Index)
}

func tileLoad(tile int, m Mem)  { rowsOf(prefixF2, 0x4b, tile, m) }
func tileStore(tile int, m Mem) { rowsOf(prefixF3, 0x4b, tile, m) }

func tileZero(tile int) {
	emitVEX(prefixF2, 0, false, false, false, 0x49, []byte{0xc0 | byte(tile)<<3})
}

// tileDots is TDPBSUD: acc += signed × unsigned.
func tileDots(acc, signed, unsigned int) {
	emitVEX(prefixF3, unsigned, false, false, false, 0x5e, []byte{0xc0 | byte(acc)<<3 | byte(signed)})
}

func loadTileConfig(p reg.GPPhysical) {
	n := number(p)
	if n&7 == 4 || n&7 == 5 {
		panic("this base is encoded in another way")
	}
	emitVEX(prefixNone, 0, false, false, n > 7, 0x49, []byte{byte(n & 7)}, p)
}

func releaseTiles() { emitVEX(prefixNone, 0, false, false, false, 0x49, []byte{0xc0}) }

// fetchToWrite is PREFETCHW, which Go's assembler does not know: 0F 0D /1.
func fetchToWrite(m Mem) {
	base, index := number(m.Base), number(m.Index)
	if base > 7 || index > 7 || m.Disp > 127 {
		panic("these need other bytes")
	}
	emit([]byte{0x0f, 0x0d, 0x4c, byte(index)<<3 | byte(base), byte(m.Disp)}, m.Base, m.Index)
}

// tileConfigs are configurations of eight tiles, 64 bytes each: number n-1 has n rows in tiles
// 0 to 5, for sums and activations, and 16 in those of codes.
var tileConfigs = sync.OnceValue(func() Mem {
	m := GLOBL("tileconfigs", RODATA|NOPTR)
	for n := 1; n <= 16; n++ {
		c := [64]byte{0: 1}
		for t := range 8 {
			c[16+2*t] = 64
			c[48+t] = byte(n)
			if t >= 6 {
				c[48+t] = 16
			}
		}
		for i, b := range c {
			DATA(64*(n-1)+i, U8(b))
		}
	}
	return m
})
