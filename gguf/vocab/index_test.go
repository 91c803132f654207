package vocab

import (
	"testing"
	"time"
)

// TestPairsThatCollide: merges chosen to share a slot under the table's former
// hash, which every program computed alike, are found as quickly as others.
func TestPairsThatCollide(t *testing.T) {
	const symbols, slots = 1 << 15, 1 << 17
	var pairs []uint64
	for l := range int32(symbols) {
		for r := range int32(symbols) {
			if key := pairKey(l, r); key*0x9e3779b97f4a7c15>>32%slots < 32 {
				pairs = append(pairs, key)
			}
		}
	}
	pairs = pairs[:min(len(pairs), slots/2)]
	x := newPairIndex(len(pairs))
	quick(t, time.Second, func() {
		for range 3 {
			for i, key := range pairs {
				*x.find(key) = pairSlot{key, int32(i), 1}
			}
		}
	})
	for i, key := range pairs {
		if s := x.find(key); int(s.rank) != i {
			t.Fatalf("pair %d is found as %d", i, s.rank)
		}
	}
}
