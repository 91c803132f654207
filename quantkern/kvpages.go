package quantkern

import (
	"fmt"
	"sync"
)

// KVPages is one block's keys and values in pages of a fixed number of
// positions. Memory of a page is taken when it is first written and kept; a
// page number that is given to another sequence is simply overwritten.
//
//	page   keys    kvHead 0: pos 0, pos 1, …   kvHead 1: …     (KeyDim values a position)
//	       values  kvHead 0: pos 0, pos 1, …   kvHead 1: …     (ValueDim values a position)
//
// Concurrent calls are safe as long as what Attend reads was Put before (with
// the synchronization that implies) and no two Puts write the same position of
// the same page.
type KVPages struct {
	pageSize, kvHeads, keyDim, valueDim int

	half    bool
	pages   []kvPage
	onAlloc func(bytes int64)
}

// kvPage is one page's memory, in the slice of the storage type.
type kvPage struct {
	once sync.Once
	f32  []float32
	f16  []uint16
}

// KVTypeError: keys and values cannot be stored in this type.
type KVTypeError struct{ Type string }

func (e *KVTypeError) Error() string {
	return fmt.Sprintf("quantkern: no KV cache of type %q; use f16 or f32", e.Type)
}

// KVShapeError: a KV cache cannot have these dimensions.
type KVShapeError struct {
	Field string
	Value int
}

func (e *KVShapeError) Error() string {
	return fmt.Sprintf("quantkern: a KV cache with %s %d; it must be positive", e.Field, e.Value)
}

// NewKVPages plans a number of pages of pageSize positions with elements of
// type typ ("f32", or "f16": rounded to nearest even when stored) and takes no
// memory for them yet. onAlloc (may be nil) hears of each page's bytes when
// they are taken, on the goroutine that writes the page first. Errors are
// *KVTypeError and *KVShapeError.
func NewKVPages(typ string, pages, pageSize, kvHeads, keyDim, valueDim int, onAlloc func(bytes int64)) (*KVPages, error) {
	if typ != "f32" && typ != "f16" {
		return nil, &KVTypeError{typ}
	}
	for _, d := range []KVShapeError{{"pages", pages}, {"page size", pageSize}, {"KV heads", kvHeads},
		{"key dimension", keyDim}, {"value dimension", valueDim}} {
		if d.Value <= 0 {
			return nil, &d
		}
	}
	return &KVPages{
		pageSize: pageSize, kvHeads: kvHeads, keyDim: keyDim, valueDim: valueDim,
		half: typ == "f16", pages: make([]kvPage, pages), onAlloc: onAlloc,
	}, nil
}

// PageBytes is the memory of one page.
func (k *KVPages) PageBytes() int {
	if k.half {
		return 2 * k.pageValues()
	}
	return 4 * k.pageValues()
}

func (k *KVPages) pageValues() int { return k.pageSize * k.kvHeads * (k.keyDim + k.valueDim) }

// Put stores the keys [kvHeads*keyDim] and values [kvHeads*valueDim] of
// position pos of the sequence whose i-th page is table[i].
func (k *KVPages) Put(table []int32, pos int, key, value []float32) {
	if len(key) != k.kvHeads*k.keyDim || len(value) != k.kvHeads*k.valueDim {
		panic(fmt.Sprintf("quantkern: Put of %d keys and %d values into a cache of %d KV heads of %d and %d",
			len(key), len(value), k.kvHeads, k.keyDim, k.valueDim))
	}
	p := &k.pages[table[pos/k.pageSize]]
	p.once.Do(func() {
		if k.half {
			p.f16 = make([]uint16, k.pageValues())
		} else {
			p.f32 = make([]float32, k.pageValues())
		}
		if k.onAlloc != nil {
			k.onAlloc(int64(k.PageBytes()))
		}
	})
	slot := pos % k.pageSize
	for h := range k.kvHeads {
		k.store(p, k.keyOffset(h)+slot*k.keyDim, key[h*k.keyDim:(h+1)*k.keyDim])
		k.store(p, k.valueOffset(h)+slot*k.valueDim, value[h*k.valueDim:(h+1)*k.valueDim])
	}
}

func (k *KVPages) store(p *kvPage, offset int, src []float32) {
	if !k.half {
		copy(p.f32[offset:], src)
		return
	}
	dst := p.f16[offset : offset+len(src)]
	toF16(dst, src)
}

// keyOffset and valueOffset are where a KV head's part of a page begins.
func (k *KVPages) keyOffset(head int) int { return head * k.pageSize * k.keyDim }

func (k *KVPages) valueOffset(head int) int {
	return k.pageSize * (k.kvHeads*k.keyDim + head*k.valueDim)
}

// load returns n stored values as float32: the page's own memory, or row.
func (k *KVPages) load(p *kvPage, offset, n int, row []float32) []float32 {
	if !k.half {
		return p.f32[offset : offset+n]
	}
	row = row[:n]
	fromF16(row, p.f16[offset:offset+n])
	return row
}

// toF16 rounds src to half precision, to nearest even.
func toF16(dst []uint16, src []float32) {
	if active.toF16 != nil && whole(len(src)) {
		active.toF16(&dst[0], &src[0], uintptr(len(src)/Lanes))
		return
	}
	for i, v := range src {
		dst[i] = F32ToF16(v)
	}
}

// fromF16 is the way back.
func fromF16(dst []float32, src []uint16) {
	if active.fromF16 != nil && whole(len(src)) {
		active.fromF16(&dst[0], &src[0], uintptr(len(src)/Lanes))
		return
	}
	for i, h := range src {
		dst[i] = F16ToF32(h)
	}
}
