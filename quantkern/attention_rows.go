package quantkern

import "fmt"

// AttendRows is Attend for n rows of one sequence at positions pos, pos+1, …:
// row i has its queries of the KV head at q[i*ldq:], heads of them, and its
// result goes to dst[i*ldd:]. Keys and values are converted once for all rows
// where there are kernels for that; each result has the bits that Attend gives.
func AttendRows(dst []float32, ldd int, q []float32, ldq, n, heads int, kv *KVPages, table []int32, kvHead, pos int, scale float32, scratch *Scratch) {
	if n < 1 || heads < 1 || len(q) < (n-1)*ldq+heads*kv.keyDim || len(dst) < (n-1)*ldd+heads*kv.valueDim {
		panic(fmt.Sprintf("quantkern: AttendRows of %d rows of %d heads: %d queries %d apart into %d values %d apart", n, heads, len(q), ldq, len(dst), ldd))
	}
	done := 0
	if kv.sharesRows() {
		done = n - n%rowsTogether(heads)
		if done > 0 && pos+1 >= leastShared {
			attendShared(dst, ldd, q, ldq, done, heads, kv, table, kvHead, pos, scale, scratch)
		} else {
			done = 0
		}
	}
	for i := done; i < n; i++ {
		Attend(dst[i*ldd:][:heads*kv.valueDim], q[i*ldq:][:heads*kv.keyDim], kv, table, kvHead, pos+i, scale, scratch)
	}
}

// leastShared is how many positions all rows must see for sharing to pay.
const leastShared = 16

// sharesRows tells whether the kernels of attendShared fit.
func (k *KVPages) sharesRows() bool {
	return sharesHeads(k.keyDim, k.valueDim) && k.pageSize%4 == 0
}

func sharesHeads(keyDim, valueDim int) bool {
	return active.scoresF32 != nil && active.weightedF32h8 != nil && whole(keyDim) && valueDim%(2*Lanes) == 0
}

// AttendBytes is at most what AttendRows takes of a Scratch for n rows of so many heads that see so many positions,
// beyond keys and values of a page.
func AttendBytes(n, heads, keyDim, valueDim, positions int) int {
	together := 1
	if sharesHeads(keyDim, valueDim) {
		together = max(1, n-n%rowsTogether(heads))
	}
	padded := (positions + Lanes - 1) / Lanes * Lanes
	return together * heads * (4*(padded+keyDim+valueDim) + 2*keyDim)
}

// rowsTogether is the smallest number of rows with a multiple of eight queries.
func rowsTogether(heads int) int {
	n := 8
	for n > 1 && n/2*heads%8 == 0 {
		n /= 2
	}
	return n
}

// attendShared computes the positions that every row sees, in fours, together
// and the few after them row by row.
func attendShared(dst []float32, ldd int, q []float32, ldq, n, heads int, kv *KVPages, table []int32, kvHead, pos int, scale float32, scratch *Scratch) {
	size, width, queries := kv.keyDim, kv.valueDim, n*heads
	shared := (pos + 1) &^ 3
	stride := (pos + n + Lanes - 1) / Lanes * Lanes
	scratch.row = grow(scratch.row, kv.decoded())
	scratch.scores = grow(scratch.scores, queries*stride)
	scratch.query = grow(scratch.query, queries*size)
	scratch.sums = grow(scratch.sums, queries*width)
	scores, sums, all := scratch.scores, scratch.sums, scratch.query
	for i := range n {
		row, from := all[i*heads*size:(i+1)*heads*size], q[i*ldq:][:heads*size]
		if kv.kind == kvF16 {
			scratch.roundQueries(row, from)
		} else {
			copy(row, from)
		}
	}
	kv.eachSpan(table, 0, shared, 0, 0, nil, func(s kvSpan) {
		keys := kv.load(s.page, kv.keyOffset(kvHead), s.n*size, scratch.row)
		for j := 0; j < queries; j += 4 {
			active.scoresF32(&scores[j*stride+s.first], uintptr(4*stride), &keys[0], &all[j*size], uintptr(4*size), uintptr(size/Lanes), uintptr(s.n/4), 0)
		}
	})
	for i := range n {
		seen := pos + i + 1
		kv.eachSpan(table, shared, seen, 0, 0, nil, func(s kvSpan) {
			kv.scores(scores[i*heads*stride+s.first:], stride, s, kvHead, all[i*heads*size:(i+1)*heads*size], scratch.row)
		})
		padded := (seen + Lanes - 1) / Lanes * Lanes
		for h := i * heads; h < (i+1)*heads; h++ {
			weigh(scores[h*stride:][:padded], seen, scale)
		}
	}
	clear(sums)
	kv.eachSpan(table, 0, shared, 0, 0, nil, func(s kvSpan) {
		values := kv.load(s.page, kv.valueOffset(kvHead), s.n*width, scratch.row)
		for j := 0; j < queries; j += 8 {
			for c := 0; c < width; c += 2 * Lanes {
				active.weightedF32h8(&sums[j*width+c], uintptr(4*width), &values[c], uintptr(4*width), &scores[j*stride+s.first], uintptr(4*stride), uintptr(s.n))
			}
		}
	})
	for i := range n {
		row := sums[i*heads*width : (i+1)*heads*width]
		kv.eachSpan(table, shared, pos+i+1, 0, 0, nil, func(s kvSpan) {
			kv.addValues(row, scores[i*heads*stride+s.first:], stride, s, kvHead, scratch.row)
		})
		copy(dst[i*ldd:], row)
	}
}
