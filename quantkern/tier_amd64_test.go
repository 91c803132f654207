//go:build !noasm

package quantkern

import (
	"slices"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// The kernels of the other processors, which fetch otherwise and compute the same.
func TestOtherFetches(t *testing.T) {
	if !slices.Contains(Tiers(), "avx512") {
		t.Skip("this machine has no AVX-512")
	}
	past := cpuid.CPU.VendorID == cpuid.AMD
	tierAVX512.fetchPast(!past)
	t.Cleanup(func() { tierAVX512.fetchPast(past) })
	for name, test := range map[string]func(*testing.T){
		"products": TestMulTernary, "nibbles": TestNibbleTiers, "nibbles of a head": TestNibblesFindTheLargest,
		"screening": TestScreenFindsTheLargest, "bounds": TestScreenBounds,
	} {
		withTier(t, "avx512", func() { t.Run(name, test) })
	}
}
