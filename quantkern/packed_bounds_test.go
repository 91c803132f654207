//go:build linux

package quantkern

import (
	"os"
	"syscall"
	"testing"
)

// TestPackedBounds multiplies and decodes matrices whose last byte is the last
// one that may be read.
func TestPackedBounds(t *testing.T) {
	page := os.Getpagesize()
	const pages = 8
	mem, err := syscall.Mmap(-1, 0, (pages+1)*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skipf("no memory to protect: %v", err)
	}
	defer func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Error(err)
		}
	}()
	if err := syscall.Mprotect(mem[pages*page:], syscall.PROT_NONE); err != nil {
		t.Skipf("memory cannot be protected: %v", err)
	}
	const rows, cols = 4, 512
	for _, typ := range denseNames() {
		c := mustLookup(t, typ)
		random := randomBlocks(newRand(50), c, rows, cols, true)
		data := mem[pages*page-len(random) : pages*page]
		copy(data, random)
		x := floats(newRand(51), 2*cols)
		for _, name := range Tiers() {
			withTier(t, name, func() {
				for n := 1; n <= 2; n++ {
					want, got := make([]float32, n*rows), make([]float32, n*rows)
					var s Scratch
					MulDense(want, rows, c, random, rows, cols, 0, rows, x, n, &s)
					MulDense(got, rows, c, data, rows, cols, 0, rows, x, n, &s)
					wantSame(t, typ+" on "+name, want, got)
				}
				wantSame(t, typ+" decoded on "+name, decodeAll(c, random, rows, cols), decodeAll(c, data, rows, cols))
			})
		}
	}
}
