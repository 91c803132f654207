package main

import "fmt"

// instr is a machine word and what a disassembler calls it.
type instr struct {
	bits uint32
	text string
}

// Instruction forms of the Arm Architecture Reference Manual (DDI 0487), C4.1.
// The registers stand at bit 0 (destination), 5 and 16 (sources); a format
// names them in that order.

func three(bits uint32, format string) func(d, n, m vreg) instr {
	return func(d, n, m vreg) instr {
		return instr{bits | uint32(m)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf(format, d, n, m)}
	}
}

func two(bits uint32, format string) func(d, n vreg) instr {
	return func(d, n vreg) instr {
		return instr{bits | uint32(n)<<5 | uint32(d), fmt.Sprintf(format, d, n)}
	}
}

// Float32 and float64 arithmetic. fmax and fmin return a NaN when either
// operand is one.
var (
	fadd  = three(0x4e20d400, "fadd v%d.4s, v%d.4s, v%d.4s")
	fsub  = three(0x4ea0d400, "fsub v%d.4s, v%d.4s, v%d.4s")
	fmul  = three(0x6e20dc00, "fmul v%d.4s, v%d.4s, v%d.4s")
	fdiv  = three(0x6e20fc00, "fdiv v%d.4s, v%d.4s, v%d.4s")
	fmax  = three(0x4e20f400, "fmax v%d.4s, v%d.4s, v%d.4s")
	fmin  = three(0x4ea0f400, "fmin v%d.4s, v%d.4s, v%d.4s")
	fcmgt = three(0x6ea0e400, "fcmgt v%d.4s, v%d.4s, v%d.4s")
	faddp = three(0x6e20d400, "faddp v%d.4s, v%d.4s, v%d.4s")
	fneg  = two(0x6ea0f800, "fneg v%d.4s, v%d.4s")
	faddd = three(0x4e60d400, "fadd v%d.2d, v%d.2d, v%d.2d")
)

// Folds of a register into one element.
var (
	foldFaddS = two(0x7e30d800, "faddp s%d, v%d.2s")
	foldFaddD = two(0x7e70d800, "faddp d%d, v%d.2d")
	foldFmax  = two(0x6e30f800, "fmaxv s%d, v%d.4s")
	foldUmax  = two(0x6eb0a800, "umaxv s%d, v%d.4s")
)

// Conversions; those with a 2 read or write the upper half.
var (
	scvtf   = two(0x4e21d800, "scvtf v%d.4s, v%d.4s")
	fcvtl   = two(0x0e217800, "fcvtl v%d.4s, v%d.4h")
	fcvtl2  = two(0x4e217800, "fcvtl2 v%d.4s, v%d.8h")
	fcvtld  = two(0x0e617800, "fcvtl v%d.2d, v%d.2s")
	fcvtld2 = two(0x4e617800, "fcvtl2 v%d.2d, v%d.4s")
	fcvtn   = two(0x0e216800, "fcvtn v%d.4h, v%d.4s")
	fcvtn2  = two(0x4e216800, "fcvtn2 v%d.8h, v%d.4s")
)

// Integers.
var (
	smull    = three(0x0e20c000, "smull v%d.8h, v%d.8b, v%d.8b")
	smlal    = three(0x0e208000, "smlal v%d.8h, v%d.8b, v%d.8b")
	smlal2   = three(0x4e208000, "smlal2 v%d.8h, v%d.16b, v%d.16b")
	smlal16  = three(0x0e608000, "smlal v%d.4s, v%d.4h, v%d.4h")
	smlal16h = three(0x4e608000, "smlal2 v%d.4s, v%d.8h, v%d.8h")
	sadalp   = two(0x4e606800, "sadalp v%d.4s, v%d.8h")
	sdot     = three(0x4e809400, "sdot v%d.4s, v%d.16b, v%d.16b")
)

// Widenings of signed integers; those with an h read the upper half.
var (
	sxtl8   = two(0x0f08a400, "sxtl v%d.8h, v%d.8b")
	sxtl8h  = two(0x4f08a400, "sxtl2 v%d.8h, v%d.16b")
	sxtl16  = two(0x0f10a400, "sxtl v%d.4s, v%d.4h")
	sxtl16h = two(0x4f10a400, "sxtl2 v%d.4s, v%d.8h")
)

// sshr shifts int32 lanes right by 1 to 32 bits.
func sshr(d, n vreg, shift uint32) instr {
	return instr{0x4f000400 | (64-shift)<<16 | uint32(n)<<5 | uint32(d), fmt.Sprintf("sshr v%d.4s, v%d.4s, #%d", d, n, shift)}
}
