//go:build !noasm

package neon_test

import (
	"testing"

	"tritflow/quantkern"
	. "tritflow/quantkern/neon" //nolint:revive,staticcheck // the kernels are this file's vocabulary
)

// TestDecodeQ8x0 takes any scale, NaNs and infinities included, with any code.
func TestDecodeQ8x0(t *testing.T) {
	const values, bytes = 32, 34
	c, err := quantkern.Lookup("Q8_0")
	if err != nil {
		t.Fatal(err)
	}
	s := newSource(7)
	for blocks := 1; blocks < maxBlocks; blocks++ {
		data := make([]byte, bytes*blocks)
		for i := range data {
			data[i] = byte(s.Uint32())
		}
		want := make([]float32, values*blocks)
		c.Decode(want, data, 1, len(want), 0)
		got, check := guarded(len(want))
		DecodeQ8x0(ptr(got), &data[0], uintptr(blocks), 0)
		same(t, "DecodeQ8x0", got, want)
		check(t)
	}
}
