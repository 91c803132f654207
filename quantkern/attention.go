package quantkern

import "fmt"

// Attend computes causal attention of one query head (Vaswani et al.,
// arXiv:1706.03762) over positions 0..pos of the sequence whose i-th page is
// table[i]:
//
//	dst[valueDim] = softmax(scale × q·K) · V
//
// q holds keyDim values; with f16 pages it is rounded to f16 first (and
// products of two f16 are exact in float32). Scores are Dot × scale; the
// probabilities stay float32 and are normalized before they meet the values;
// each element of dst is one float32 sum over ascending positions, whatever
// the pages are. dst must not overlap q.
//
// Every position must have been Put. Concurrent calls need their own scratch
// and dst.
func Attend(dst, q []float32, kv *KVPages, table []int32, kvHead, pos int, scale float32, scratch *Scratch) {
	if len(q) != kv.keyDim || len(dst) != kv.valueDim {
		panic(fmt.Sprintf("quantkern: Attend of a query of %d into %d with keys of %d and values of %d",
			len(q), len(dst), kv.keyDim, kv.valueDim))
	}
	scratch.row = grow(scratch.row, max(kv.keyDim, kv.valueDim))
	scratch.scores = grow(scratch.scores, pos+1)
	scores := scratch.scores
	if kv.half {
		scratch.query = grow(scratch.query, kv.keyDim)
		for i, v := range q {
			scratch.query[i] = F16ToF32(F32ToF16(v))
		}
		q = scratch.query
	}
	kv.eachPage(table, pos, func(p *kvPage, first, n int) {
		offset := kv.keyOffset(kvHead)
		for i := range n {
			key := kv.load(p, offset+i*kv.keyDim, kv.keyDim, scratch.row)
			scores[first+i] = Dot(q, key) * scale
		}
	})
	Softmax(scores)
	clear(dst)
	kv.eachPage(table, pos, func(p *kvPage, first, n int) {
		offset := kv.valueOffset(kvHead)
		for i := range n {
			value := kv.load(p, offset+i*kv.valueDim, kv.valueDim, scratch.row)
			addScaled(dst, value, scores[first+i])
		}
	})
}

// eachPage calls fn for the pages of positions 0..pos in order, with the first
// position and the number of positions in it.
func (k *KVPages) eachPage(table []int32, pos int, fn func(p *kvPage, first, n int)) {
	for i, first := 0, 0; first <= pos; i, first = i+1, first+k.pageSize {
		p := &k.pages[table[i]]
		if p.f16 == nil && p.f32 == nil {
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
