package quantkern

// TopK finds the k largest values of x (all of them when k exceeds len(x)) in
// descending order; equal values come in ascending order of their indices. A
// NaN is below everything else. The results are written over ids and vals,
// which grow when they are too short (nil will do).
//
// A heap of the k best so far, the worst on top: one comparison for most
// elements, k·log k for the rest.
func TopK(x []float32, k int, ids []int32, vals []float32) ([]int32, []float32) {
	k = max(0, min(k, len(x)))
	h := topHeap{grow(ids, k), grow(vals, k)}
	if k == 0 {
		return h.ids, h.vals
	}
	for i := range k {
		h.ids[i], h.vals[i] = int32(i), x[i]
	}
	for i := k/2 - 1; i >= 0; i-- {
		h.sink(i, k)
	}
	for i, v := range x[k:] {
		// An equal value comes later and therefore loses.
		if v > h.vals[0] || (h.vals[0] != h.vals[0] && v == v) {
			h.ids[0], h.vals[0] = int32(k+i), v
			h.sink(0, k)
		}
	}
	for n := k - 1; n > 0; n-- {
		h.swap(0, n)
		h.sink(0, n)
	}
	return h.ids, h.vals
}

// topHeap is a binary heap with the value on top that is to be dropped first.
type topHeap struct {
	ids  []int32
	vals []float32
}

// worse reports whether element i is to be dropped before element j.
func (h topHeap) worse(i, j int) bool {
	a, b := h.vals[i], h.vals[j]
	switch {
	case a < b:
		return true
	case a > b:
		return false
	case (a != a) != (b != b):
		return a != a
	}
	return h.ids[i] > h.ids[j]
}

func (h topHeap) swap(i, j int) {
	h.ids[i], h.ids[j] = h.ids[j], h.ids[i]
	h.vals[i], h.vals[j] = h.vals[j], h.vals[i]
}

// sink restores the order of the first n elements below i.
func (h topHeap) sink(i, n int) {
	for {
		child := 2*i + 1
		if child >= n {
			return
		}
		if child+1 < n && h.worse(child+1, child) {
			child++
		}
		if !h.worse(child, i) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
