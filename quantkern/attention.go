package quantkern

import (
	"fmt"
	"math"
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
		scratch.half = grow(scratch.half, len(q))
		toF16(scratch.half, q)
		fromF16(scratch.query, scratch.half)
		q = scratch.query
	}
	kv.eachPage(table, pos, func(p *kvPage, first, n int) {
		kv.scores(scores[first:], padded, n, p, kvHead, q, scratch.row)
	})
	for h := range heads {
		row := scores[h*padded : (h+1)*padded]
		scaleBy(row[:n], scale)
		for i := n; i < padded; i++ {
			row[i] = float32(math.Inf(-1))
		}
		Softmax(row)
	}
	clear(dst)
	kv.eachPage(table, pos, func(p *kvPage, first, n int) {
		kv.addValues(dst, scores[first:], padded, n, p, kvHead, scratch.row)
	})
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
	if active.packed[kvKinds[k.kind].codec].decode != nil {
		n *= k.pageSize
	}
	return n
}

// scores computes q·K for the first n positions of a page and every query head
// of q; those of head h go to dst[h*stride:].
func (k *KVPages) scores(dst []float32, stride, n int, p *kvPage, head int, q, row []float32) {
	offset, size := k.keyOffset(head), k.keyDim
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

// addValues adds the values of the first n positions of a page to every head
// of dst, each times its weight: weights[h*stride:] are those of head h.
func (k *KVPages) addValues(dst, weights []float32, stride, n int, p *kvPage, head int, row []float32) {
	offset, size := k.valueOffset(head), k.valueDim
	heads := len(dst) / size
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
				active.weightedF16h4(&dst[h*size+j], uintptr(4*size), &p.f16[offset+j], uintptr(2*size), &weights[h*stride], uintptr(4*stride), uintptr(n))
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

// eachPage calls fn for the pages of positions 0..pos in order, with the first
// position and the number of positions in it.
func (k *KVPages) eachPage(table []int32, pos int, fn func(p *kvPage, first, n int)) {
	for i, first := 0, 0; first <= pos; i, first = i+1, first+k.pageSize {
		p := &k.pages[table[i]]
		if p.empty() {
			panic(fmt.Sprintf("quantkern: page %d (positions from %d) is read before anything was put there", table[i], first))
		}
		fn(p, first, min(k.pageSize, pos+1-first))
	}
}

// addScaled computes dst += f × x, each product rounded.
func addScaled(dst, x []float32, f float32) {
	x = x[:len(dst)]
	for i := range dst {
		dst[i] += float32(f * x[i])
	}
}
