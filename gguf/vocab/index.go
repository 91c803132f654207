package vocab

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
)

// textIndex finds the number of a text: open addressing over eight-byte slots,
// because a vocabulary is looked up half a million times while its merges are
// read, and a table that stays in cache halves the time of the built-in map.
type textIndex struct {
	texts []string
	slots []textSlot
	seed  maphash.Seed
	twice bool // some text stands twice
}

type textSlot struct {
	hash uint32
	id   int32 // none: free
}

// newTextIndex indexes texts, of which a later one replaces an equal earlier
// one.
func newTextIndex(texts []string) *textIndex {
	x := &textIndex{texts: texts, slots: make([]textSlot, tableSize(len(texts))), seed: maphash.MakeSeed()}
	for i := range x.slots {
		x.slots[i].id = none
	}
	for i, s := range texts {
		slot, hash := x.find(s)
		x.twice = x.twice || slot.id != none
		*slot = textSlot{hash, int32(i)}
	}
	return x
}

// tableSize is a power of two that n entries fill at most to three quarters.
func tableSize(n int) int { return 1 << bits.Len(uint(n+n/3)) }

// find is the slot of a text, or the free one where it would go.
func (x *textIndex) find(s string) (*textSlot, uint32) {
	h := maphash.String(x.seed, s)
	hash, mask := uint32(h>>32), uint64(len(x.slots)-1)
	for i := h & mask; ; i = (i + 1) & mask {
		slot := &x.slots[i]
		if slot.id == none || slot.hash == hash && x.texts[slot.id] == s {
			return slot, hash
		}
	}
}

// get is the number of a text, none if it is unknown.
func (x *textIndex) get(s string) int32 {
	slot, _ := x.find(s)
	return slot.id
}

// pairIndex finds the merge of two neighbouring symbols. Its hash differs from
// one to the next, so that no file can bring merges that all want one slot.
type pairIndex struct {
	slots []pairSlot
	odd   uint64
	shift uint // leaves as many upper bits as number the slots
}

type pairSlot struct {
	pair     uint64
	rank, id int32 // id none: free
}

func newPairIndex(n int) *pairIndex {
	x := &pairIndex{slots: make([]pairSlot, tableSize(n)), odd: rand.Uint64() | 1}
	x.shift = uint(64 - bits.TrailingZeros(uint(len(x.slots))))
	for i := range x.slots {
		x.slots[i].id = none
	}
	return x
}

func pairKey(l, r int32) uint64 { return uint64(uint32(l))<<32 | uint64(uint32(r)) }

// find is the slot of a pair, or the free one where it would go. It only reads.
func (x *pairIndex) find(key uint64) *pairSlot {
	// A product by 2⁶⁴/φ spreads the bits (Knuth), the upper ones of a product by
	// an unknown odd number choose (Dietzfelbinger et al. 1997).
	mask := uint64(len(x.slots) - 1)
	h := key * 0x9e3779b97f4a7c15
	for i := (h ^ h>>32) * x.odd >> x.shift; ; i = (i + 1) & mask {
		if s := &x.slots[i]; s.id == none || s.pair == key {
			return s
		}
	}
}
