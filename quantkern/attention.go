package quantkern

import (
	"fmt"
	"math"
	"unsafe"
)

// Attend computes causal attention (Vaswani et al., arXiv:1706.03762) of one or
// more query heads that share a KV head (GQA) over positions 0..pos of the
// sequence whose i-th page is table[i]:
//
//	dst[heads, valueDim] = softmax(scale × q[heads, keyDim]·K) · V
//
// With f16 pages q is rounded to f16 first (and products of two f16 are exact
// in float32), with others it is taken as it is. Keys and values are what
// their storage decodes to. Scores are Dot × scale; the probabilities stay
// float32 and are normalized before they meet the values; each element of dst
// is one float32 sum over ascending positions, whatever the pages are and
// however many heads are computed together. dst must not overlap q.
//
// Every position must have been Put. Concurrent calls need their own scratch
// and dst.
func Attend(dst, q []float32, kv *KVPages, table []int32, kvHead, pos int, scale float32, scratch *Scratch) {
	heads := len(q) / kv.keyDim
	if heads == 0 || len(q) != heads*kv.keyDim || len(dst) != heads*kv.valueDim {
		panic(fmt.Sprintf("quantkern: Attend of queries of %d into %d with keys of %d and values of %d",
			len(q), len(dst), kv.keyDim, kv.valueDim))
	}
	// Whole blocks for the kernels: what is beyond the positions weighs nothing.
	n := pos + 1
	padded := (n + Lanes - 1) / Lanes * Lanes
	scratch.row = grow(scratch.row, kv.decoded())
	scratch.scores = grow(scratch.scores, heads*padded)
	scores := scratch.scores
	if kv.kind == kvF16 {
		scratch.query = grow(scratch.query, len(q))
		scratch.roundQueries(scratch.query, q)
		q = scratch.query
	}
	kv.eachSpan(table, 0, n, kv.keyOffset(kvHead), kv.keyDim, kv.half(table, kv.valueOffset(kvHead)), func(s kvSpan) {
		kv.scores(scores[s.first:], padded, s, kvHead, q, scratch.row)
	})
	for h := range heads {
		weigh(scores[h*padded:(h+1)*padded], n, scale)
	}
	clear(dst)
	kv.eachSpan(table, 0, n, kv.valueOffset(kvHead), kv.valueDim, kv.nextKeys(table, kvHead), func(s kvSpan) {
		kv.addValues(dst, scores[s.first:], padded, s, kvHead, scratch.row)
	})
}

// roundQueries rounds queries as f16 keys are.
func (s *Scratch) roundQueries(dst, q []float32) {
	s.half = grow(s.half, len(q))
	toF16(s.half, q)
	fromF16(dst, s.half)
}

// weigh turns the first n products of a row of whole blocks into weights; what
// follows weighs nothing.
func weigh(row []float32, n int, scale float32) {
	scaleBy(row[:n], scale)
	for i := n; i < len(row); i++ {
		row[i] = float32(math.Inf(-1))
	}
	Softmax(row)
}

// scaleBy multiplies x with f.
func scaleBy(x []float32, f float32) {
	if active.scale != nil {
		if blocks := len(x) / Lanes; blocks > 0 {
			active.scale(&x[0], &x[0], uintptr(blocks), f)
			x = x[blocks*Lanes:]
		}
	}
	for i := range x {
		x[i] *= f
	}
}

// decoded is how many values of one head are decoded at a time: a row, or with
// kernels for rows that lie in memory one after the other, those of a page.
func (k *KVPages) decoded() int {
	n := max(k.keyDim, k.valueDim)
	if active.dotF32.one != nil || active.weightedF32x1 != nil || active.scoresF32 != nil {
		n *= k.pageSize
	}
	return n
}

// scores computes q·K for the positions of a span and every query head of q;
// those of head h go to dst[h*stride:].
func (k *KVPages) scores(dst []float32, stride int, s kvSpan, head int, q, row []float32) {
	p, n, size := s.page, s.n, k.keyDim
	offset, heads := k.keyOffset(head)+s.from*size, len(q)/size
	t := k.dots()
	if t.one == nil {
		for i := range n {
			key := k.load(p, offset+i*size, size, row)
			for h := range len(q) / size {
				dst[h*stride+i] = Dot(q[h*size:(h+1)*size], key)
			}
		}
		return
	}
	if f := active.scoresF16; f != nil && k.kind == kvF16 && heads%4 == 0 {
		blocks, groups := uintptr(size/Lanes), n/4
		for h := 0; h < heads && groups > 0; h += 4 {
			f(&dst[h*stride], uintptr(4*stride), &p.f16[offset], &q[h*size], uintptr(4*size), blocks, uintptr(groups), s.ahead)
		}
		for i := 4 * groups; i < n; i++ {
			key := halfBytes(p.f16[offset+i*size:][:size])
			for h := range heads {
				t.one(&dst[h*stride+i], 0, &key[0], 0, &q[h*size], 0, blocks)
			}
		}
		return
	}
	var data []byte
	if k.kind == kvF16 {
		data = halfBytes(p.f16[offset : offset+n*size])
	} else {
		data = bytesOf(k.load(p, offset, n*size, row))
	}
	mulDenseTiles(dst, stride, data, len(data)/n, n, size, q, len(q)/size, t)
}

// dots gives the kernels for the keys of a page: halves where they lie, others
// as float32. None: plain Go.
func (k *KVPages) dots() denseTiles {
	switch {
	case !whole(k.keyDim):
		return denseTiles{}
	case k.kind == kvF16:
		return active.dotF16
	default:
		return active.dotF32
	}
}

// addValues adds the values of a span to every head of dst, each times its
// weight: weights[h*stride:] are those of head h.
func (k *KVPages) addValues(dst, weights []float32, stride int, s kvSpan, head int, row []float32) {
	p, n, size := s.page, s.n, k.valueDim
	offset, heads := k.valueOffset(head)+s.from*size, len(dst)/size
	if active.weightedF32x1 == nil || !whole(size) {
		for i := range n {
			value := k.load(p, offset+i*size, size, row)
			for h := range heads {
				addScaled(dst[h*size:(h+1)*size], value, weights[h*stride+i])
			}
		}
		return
	}
	var values []float32
	if k.kind != kvF16 {
		values = k.load(p, offset, n*size, row)
	}
	h := 0
	if active.weightedF16h4 != nil && k.kind == kvF16 && size%(2*Lanes) == 0 {
		for ; h+4 <= heads; h += 4 {
			for j := 0; j < size; j += 2 * Lanes {
				active.weightedF16h4(&dst[h*size+j], uintptr(4*size), &p.f16[offset+j], uintptr(2*size), &weights[h*stride], uintptr(4*stride), uintptr(n), s.ahead)
			}
		}
	}
	for ; h < heads; h++ {
		out, w := dst[h*size:], &weights[h*stride]
		for j := 0; j < size; {
			const wide = 4 * Lanes
			step := Lanes
			if size-j >= wide {
				step = wide
			}
			switch {
			case k.kind == kvF16 && step == wide:
				active.weightedF16x4(&out[j], &p.f16[offset+j], uintptr(2*size), w, uintptr(n))
			case k.kind == kvF16:
				active.weightedF16x1(&out[j], &p.f16[offset+j], uintptr(2*size), w, uintptr(n))
			case step == wide:
				active.weightedF32x4(&out[j], &values[j], uintptr(4*size), w, uintptr(n))
			default:
				active.weightedF32x1(&out[j], &values[j], uintptr(4*size), w, uintptr(n))
			}
			j += step
		}
	}
}

// kvSpan are n positions that follow each other in a page.
type kvSpan struct {
	page           *kvPage
	first, from, n int     // the first of them, in the sequence and in the page
	ahead          uintptr // from what is read of this page to the same place in the next, in bytes; 0: unknown
}

// half is where in a sequence's first page a part of halves begins; nil where pages
// hold something else.
func (k *KVPages) half(table []int32, offset int) *uint16 {
	if p := &k.pages[table[0]]; k.kind == kvF16 && !p.empty() {
		return &p.f16[offset]
	}
	return nil
}

// nextKeys is where the keys of the KV head after one begin; nil after the last.
func (k *KVPages) nextKeys(table []int32, head int) *uint16 {
	if head+1 == k.kvHeads {
		return nil
	}
	return k.half(table, k.keyOffset(head+1))
}

// eachSpan calls fn for the spans of positions lo..hi-1 in order; offset is
// where in a page begins what will be read, width values a position (0: nothing is
// to be fetched and spans are as long as pages let them be), and then (or nil) what
// is read after all of them.
func (k *KVPages) eachSpan(table []int32, lo, hi, offset, width int, then *uint16, fn func(s kvSpan)) {
	// Everything is fetched a page of positions before it is read, and what is
	// read then therefore from here on.
	turn := max(0, (hi-k.pageSize)&^3)
	fetch := k.kind == kvF16 && width > 0
	for lo < hi {
		i, from := lo/k.pageSize, lo%k.pageSize
		s := kvSpan{page: &k.pages[table[i]], first: lo, from: from, n: min(k.pageSize-from, hi-lo)}
		if s.page.empty() {
			panic(fmt.Sprintf("quantkern: page %d (positions from %d) is read before anything was put there", table[i], i*k.pageSize))
		}
		next, past := then, lo-turn // positions from next on
		if lo < turn && fetch {
			s.n = min(s.n, turn-lo)
			next, past = k.half(table[i+1:], offset), from
		}
		if fetch && next != nil {
			// Numbers, because what lies there may be no memory of the page any more.
			s.ahead = uintptr(unsafe.Pointer(next)) - uintptr(unsafe.Pointer(&s.page.f16[offset])) + uintptr(2*(past-from)*width)
		}
		lo += s.n
		fn(s)
	}
}

// addScaled computes dst += f × x, each product rounded.
func addScaled(dst, x []float32, f float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += float32(f * x[i])
	}
}
