package quantkern

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
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

	kind    kvKind
	pages   []kvPage
	onAlloc func(bytes int64)
}

// kvPage is one page's memory, in the slice of the storage type.
type kvPage struct {
	once sync.Once
	f32  []float32
	f16  []uint16
	code []byte // blocks of the kind's codec
}

// kvKind is a storage type of keys and values.
type kvKind uint8

const (
	kvF32 kvKind = iota
	kvF16
	kvQ8
	kvQ4
)

// kvKinds says how many values of each type lie together, in how many bytes,
// and which codec packs them.
var kvKinds = [...]struct {
	name          string
	values, bytes int
	codec         string
	encode        func(dst []byte, src []float32) *ValueError
	decode        func(dst []float32, src []byte)
}{
	kvF32: {name: "f32", values: 1, bytes: 4},
	kvF16: {name: "f16", values: 1, bytes: 2},
	kvQ8:  {"q8_0", 32, 34, "Q8_0", encodeQ8x0, decodeQ8x0},
	kvQ4:  {"q4_0", 32, 18, "Q4_0", encodeQ4x0, decodeNibbles(8, false, false)},
}

// KVTypes names what NewKVPages can store keys and values in.
func KVTypes() []string {
	names := make([]string, len(kvKinds))
	for i, k := range kvKinds {
		names[i] = k.name
	}
	return names
}

// KVTypeError: keys and values cannot be stored in this type.
type KVTypeError struct{ Type string }

func (e *KVTypeError) Error() string {
	return fmt.Sprintf("quantkern: no KV cache of type %q; use one of %s", e.Type, strings.Join(KVTypes(), ", "))
}

// KVShapeError: a KV cache cannot have these dimensions.
type KVShapeError struct {
	Field string
	Value int
	Need  string // what would do
}

func (e *KVShapeError) Error() string {
	return fmt.Sprintf("quantkern: a KV cache with %s %d; %s", e.Field, e.Value, e.Need)
}

// NewKVPages plans a number of pages of pageSize positions with elements of
// type typ and takes no memory for them yet. The types are
//
//	f32   as they are
//	f16   rounded to nearest even
//	q8_0  32 values of a head's row as a block of the codec Q8_0; key and
//	      value dimension must be multiples of 32
//	q4_0  the same with the codec Q4_0
//
// onAlloc (may be nil) hears of each page's bytes when they are taken, on the
// goroutine that writes the page first. Errors are *KVTypeError and
// *KVShapeError.
func NewKVPages(typ string, pages, pageSize, kvHeads, keyDim, valueDim int, onAlloc func(bytes int64)) (*KVPages, error) {
	kind := slices.Index(KVTypes(), typ)
	if kind < 0 {
		return nil, &KVTypeError{typ}
	}
	block := kvKinds[kind].values
	for _, d := range []struct {
		field       string
		value, unit int
	}{{"pages", pages, 1}, {"page size", pageSize, 1}, {"KV heads", kvHeads, 1},
		{"key dimension", keyDim, block}, {"value dimension", valueDim, block}} {
		switch {
		case d.value <= 0:
			return nil, &KVShapeError{d.field, d.value, "it must be positive"}
		case d.value%d.unit != 0:
			return nil, &KVShapeError{d.field, d.value, fmt.Sprintf("%s needs a multiple of %d, f16 takes any", typ, d.unit)}
		}
	}
	return &KVPages{
		pageSize: pageSize, kvHeads: kvHeads, keyDim: keyDim, valueDim: valueDim,
		kind: kvKind(kind), pages: make([]kvPage, pages), onAlloc: onAlloc,
	}, nil
}

// PageBytes is the memory of one page.
func (k *KVPages) PageBytes() int { return k.bytes(k.pageValues()) }

func (k *KVPages) pageValues() int { return k.pageSize * k.kvHeads * (k.keyDim + k.valueDim) }

// bytes is the memory of so many values, which are whole blocks.
func (k *KVPages) bytes(values int) int {
	t := &kvKinds[k.kind]
	return values / t.values * t.bytes
}

// Put stores the keys [kvHeads*keyDim] and values [kvHeads*valueDim] of
// position pos of the sequence whose i-th page is table[i].
func (k *KVPages) Put(table []int32, pos int, key, value []float32) {
	if len(key) != k.kvHeads*k.keyDim || len(value) != k.kvHeads*k.valueDim {
		panic(fmt.Sprintf("quantkern: Put of %d keys and %d values into a cache of %d KV heads of %d and %d",
			len(key), len(value), k.kvHeads, k.keyDim, k.valueDim))
	}
	p := &k.pages[table[pos/k.pageSize]]
	p.once.Do(func() {
		switch k.kind {
		case kvF32:
			p.f32 = make([]float32, k.pageValues())
		case kvF16:
			p.f16 = make([]uint16, k.pageValues())
		default:
			p.code = make([]byte, k.PageBytes())
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
	switch k.kind {
	case kvF32:
		copy(p.f32[offset:], src)
	case kvF16:
		toF16(p.f16[offset:offset+len(src)], src)
	default:
		k.kind.pack(p.code[k.bytes(offset):k.bytes(offset+len(src))], src)
	}
}

// empty tells whether nothing was ever put into the page.
func (p *kvPage) empty() bool { return p.f32 == nil && p.f16 == nil && p.code == nil }

// keyOffset and valueOffset are where a KV head's part of a page begins.
func (k *KVPages) keyOffset(head int) int { return head * k.pageSize * k.keyDim }

func (k *KVPages) valueOffset(head int) int {
	return k.pageSize * (k.kvHeads*k.keyDim + head*k.valueDim)
}

// load returns n stored values as float32: the page's own memory, or row.
func (k *KVPages) load(p *kvPage, offset, n int, row []float32) []float32 {
	switch k.kind {
	case kvF32:
		return p.f32[offset : offset+n]
	case kvF16:
		fromF16(row[:n], p.f16[offset:offset+n])
	default:
		k.kind.unpack(row[:n], p.code[k.bytes(offset):k.bytes(offset+n)])
	}
	return row[:n]
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

// pack stores src as blocks of the kind's codec. A block that the codec refuses
// (a value that is not finite, or too large for the scale) gets the scale NaN,
// so that whoever reads it notices.
func (kind kvKind) pack(dst []byte, src []float32) {
	t := &kvKinds[kind]
	for ; len(src) > 0; src, dst = src[t.values:], dst[t.bytes:] {
		if bad := t.encode(dst[:t.bytes], src[:t.values]); bad != nil {
			binary.LittleEndian.PutUint16(dst, 0x7e00)
		}
	}
}

// unpack decodes whole blocks of the kind's codec.
func (kind kvKind) unpack(dst []float32, src []byte) {
	t := &kvKinds[kind]
	if p := active.packed[t.codec]; p.takes(len(dst)) {
		p.decode(&dst[0], &src[0], uintptr(len(dst)/t.values), 0)
		return
	}
	for ; len(dst) > 0; dst, src = dst[t.values:], src[t.bytes:] {
		t.decode(dst[:t.values], src[:t.bytes])
	}
}
