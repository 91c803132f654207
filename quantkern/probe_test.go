package quantkern

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestTiersReadProbe(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, blocks := range []int{0, 1, 2, 3, 17, 200} {
		data := make([]byte, blocks*ProbeBlock)
		var want uint64
		for i := 0; i < len(data); i += 8 {
			v := r.Uint64()
			binary.LittleEndian.PutUint64(data[i:], v)
			want ^= v
		}
		for _, name := range Tiers() {
			for _, ahead := range []int{0, 1024, 1 << 16} {
				withTier(t, name, func() {
					if got := ReadProbe(data, ahead); got != want {
						t.Errorf("%d blocks, %d ahead on %s: %x, want %x", blocks, ahead, name, got, want)
					}
				})
			}
		}
	}
}

// TestTiersInt8Probe: the probe does the work that it is credited with.
func TestTiersInt8Probe(t *testing.T) {
	for _, name := range Tiers() {
		for _, rounds := range []int{0, 1, 2, 3, 1000, 1 << 16} {
			if name == "generic" && rounds > 1000 {
				continue // slow, and the same code as for a few
			}
			withTier(t, name, func() {
				if got, want := Int8Probe(rounds), uint32(rounds*ProbeProducts); got != want {
					t.Errorf("%d rounds on %s: %d, want %d", rounds, name, got, want)
				}
			})
		}
	}
}
