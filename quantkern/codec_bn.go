package quantkern

import (
	"encoding/binary"
	"math"
)

// IQ2_BN and IQ1_BN (ik_llama.cpp): each row begins with its scale, f32 and f16.
// A block of IQ1_BN has four groups of 16 values: three bytes for 15 of them,
// and in a thirteenth byte the last of each group. A byte is a base-3 fraction
// as in TQ1_0, but its first value is the least significant digit.

// bnDigits are the five trits of a byte, the least significant first.
var bnDigits = func() (t [256][5]int8) {
	for b := range t {
		for j, power := range []int{81, 27, 9, 3, 1} {
			t[b][j] = int8(b*power&255*3>>8 - 1)
		}
	}
	return t
}()

func unpackBN1(dst []int8, b []byte) {
	extra := bnDigits[b[12]]
	for g := range 4 {
		out := dst[16*g:][:16]
		for k, v := range b[3*g:][:3] {
			copy(out[5*k:], bnDigits[v][:])
		}
		out[15] = extra[g]
	}
}

func packBN1(dst []byte, codes []uint8) {
	extra := 0
	for g := range 4 {
		in := codes[16*g:][:16]
		for k := range 3 {
			q := 0
			for j := 4; j >= 0; j-- {
				q = 3*q + int(in[5*k+j])
			}
			dst[3*g+k] = fraction3(q)
		}
		extra += int(in[15]) * [4]int{1, 3, 9, 27}[g]
	}
	dst[12] = fraction3(extra)
}

func undefinedBN1(b []byte) int {
	n := 0
	for i, v := range b {
		switch {
		case defined3[v]&1 == 0:
			n++
		case i == 12 && bnDigits[v][4] != -1: // a fifth digit, where four stand
			n++
		}
	}
	return n
}

// rowScale reads the scale that a row begins with.
func (c *Codec) rowScale(row []byte) float32 {
	if c.head == 2 {
		return f16At(row)
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(row))
}

// putRowScale is the inverse.
func (c *Codec) putRowScale(row []byte, scale float32) *ValueError {
	if c.head == 2 {
		return putScale(row, scale)
	}
	binary.LittleEndian.PutUint32(row, math.Float32bits(scale))
	return nil
}

// encodeBN rounds every row to trits of its largest magnitude: what is below
// half of it is 0.
func (c *Codec) encodeBN(dst []byte, src []float32, rows, cols int) error {
	codes := make([]uint8, cols)
	for r := range rows {
		row := src[r*cols:][:cols]
		_, top, bad := extreme(row)
		if bad == nil {
			for i, v := range row {
				switch {
				case abs32(v) < top/2 || v == 0:
					codes[i] = 1
				case v < 0:
					codes[i] = 0
				default:
					codes[i] = 2
				}
			}
			bad = c.putRowScale(dst[r*c.rowBytes(cols):], top)
		}
		if bad != nil {
			bad.Codec, bad.Row = c.Name, r
			return bad
		}
		c.packRow(dst, codes, rows, cols, r)
	}
	return nil
}
