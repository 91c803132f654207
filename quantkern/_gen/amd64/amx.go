package main

import (
	"fmt"
	"sync"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Instructions, above all on tile registers, that neither avo nor Go's assembler know: bytes,
// after volume 2 of Intel's manual (they are VEX-encoded, map 0F38, W0; on tiles L is 128). Registers are physical ones.

// prefixes of the encoding.
const (
	prefixNone = iota
	prefix66
	prefixF3
	prefixF2
)

// vex is what the prefix of an instruction of map 0F38 says: r, x and b extend the
// register, the index and the base, v is the second source.
type vex struct {
	prefix, v int
	wide      bool // 256 bits
	r, x, b   bool
	opcode    byte
}

// emitVEX emits an instruction with the last bytes given.
func emitVEX(e vex, rest []byte, outputs []Op, inputs ...Op) {
	inverted := func(bit bool, at uint) byte {
		if bit {
			return 0
		}
		return 1 << at
	}
	third := byte(^e.v&15)<<3 | byte(e.prefix)
	if e.wide {
		third |= 4
	}
	emit(append([]byte{0xc4, inverted(e.r, 7) | inverted(e.x, 6) | inverted(e.b, 5) | 2, third, e.opcode}, rest...), outputs, inputs...)
}

// emit emits an instruction that reads inputs and writes outputs.
func emit(bytes []byte, outputs []Op, inputs ...Op) {
	for i, c := range bytes {
		ins := &ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(c)}}
		if i == 0 {
			ins.Inputs, ins.Outputs = inputs, outputs
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
	emitVEX(vex{prefix: prefix, x: stride > 7, b: base > 7, opcode: opcode}, rest, nil, m.Base, m.Index)
}

func tileLoad(tile int, m Mem)  { rowsOf(prefixF2, 0x4b, tile, m) }
func tileStore(tile int, m Mem) { rowsOf(prefixF3, 0x4b, tile, m) }

func tileZero(tile int) {
	emitVEX(vex{prefix: prefixF2, opcode: 0x49}, []byte{0xc0 | byte(tile)<<3}, nil)
}

// tileDots is acc += left × right: TDPBSUD, signed × unsigned, with prefixF3, TDPBUSD, the other way around, with prefix66.
func tileDots(prefix, acc, left, right int) {
	emitVEX(vex{prefix: prefix, v: right, opcode: 0x5e}, []byte{0xc0 | byte(acc)<<3 | byte(left)}, nil)
}

func loadTileConfig(p reg.GPPhysical) {
	n := number(p)
	if n&7 == 4 || n&7 == 5 {
		panic("this base is encoded in another way")
	}
	emitVEX(vex{b: n > 7, opcode: 0x49}, []byte{byte(n & 7)}, nil, p)
}

// configureTiles loads the configuration for so many rows of activations, which it multiplies by 64; t is changed, too.
func configureTiles(rows reg.Register, t reg.GPPhysical) {
	SHLQ(U8(6), rows)
	LEAQ(tileConfigs(), t)
	LEAQ(Mem{Base: t, Index: rows, Scale: 1, Disp: -64}, t)
	loadTileConfig(t)
}

// configureWholeTiles loads the configuration for tiles of 16 rows.
func configureWholeTiles(t reg.GPPhysical) {
	LEAQ(tileConfigs().Offset(15*64), t)
	loadTileConfig(t)
}

func releaseTiles() { emitVEX(vex{opcode: 0x49}, []byte{0xc0}, nil) }

// fetchToWrite is PREFETCHW, which Go's assembler does not know: 0F 0D /1.
func fetchToWrite(m Mem) {
	base, index := number(m.Base), number(m.Index)
	if base > 7 || index > 7 || m.Disp > 127 {
		panic("these need other bytes")
	}
	emit([]byte{0x0f, 0x0d, 0x4c, byte(index)<<3 | byte(base), byte(m.Disp)}, nil, m.Base, m.Index)
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
