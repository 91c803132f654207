package vocab

// symbol is a node of the list that merging works on: bytes [lo, hi) of the
// word.
type symbol struct {
	lo, hi     int32
	prev, next int32 // neighbours, -1 at the ends; lo == hi marks a merged-away node
	id         int32 // what the ranker knows it by
}

// candidate is a possible merge of a symbol and its right neighbour.
type candidate struct {
	key    float64 // lower merges first
	left   int32
	lo, hi int32 // bytes covered when it was found
	mid    int32 // where they met
	id     int32 // id of the result
}

// ranker tells whether two neighbours merge, how early (lower first), and what
// comes of it.
type ranker func(l, r *symbol) (key float64, id int32, ok bool)

// merger merges adjacent symbols, lowest key first and leftmost among equals,
// until nothing merges: the greedy BPE of Sennrich et al. 2016 with a binary
// heap over a linked list, O(n log n) for n symbols. Its memory is reused.
type merger struct {
	syms []symbol
	heap []candidate
}

func (m *merger) reset() { m.syms, m.heap = m.syms[:0], m.heap[:0] }

// push appends a symbol to the word.
func (m *merger) push(lo, hi int, id int32) {
	n := int32(len(m.syms))
	if n > 0 {
		m.syms[n-1].next = n
	}
	m.syms = append(m.syms, symbol{lo: int32(lo), hi: int32(hi), prev: n - 1, next: -1, id: id})
}

// run merges; afterwards the symbols with lo < hi are the result, in order.
func (m *merger) run(rank ranker) {
	for i := range m.syms {
		m.offer(int32(i), rank)
	}
	for len(m.heap) > 0 {
		c := m.pop()
		l := &m.syms[c.left]
		if l.lo != c.lo || l.hi != c.mid || l.next < 0 || m.syms[l.next].hi != c.hi {
			continue // one of the two has been merged with something else
		}
		r := &m.syms[l.next]
		l.hi, l.id, l.next = r.hi, c.id, r.next
		r.lo, r.hi = 0, 0
		if l.next >= 0 {
			m.syms[l.next].prev = c.left
		}
		if l.prev >= 0 {
			m.offer(l.prev, rank)
		}
		m.offer(c.left, rank)
	}
}

// offer puts the merge of symbol i and its right neighbour on the heap.
func (m *merger) offer(i int32, rank ranker) {
	l := &m.syms[i]
	if l.next < 0 {
		return
	}
	r := &m.syms[l.next]
	key, id, ok := rank(l, r)
	if !ok {
		return
	}
	m.heap = append(m.heap, candidate{key: key, left: i, lo: l.lo, mid: l.hi, hi: r.hi, id: id})
	h := m.heap
	for k := len(h) - 1; k > 0; {
		up := (k - 1) / 2
		if !h[k].before(&h[up]) {
			break
		}
		h[k], h[up] = h[up], h[k]
		k = up
	}
}

func (m *merger) pop() candidate {
	h := m.heap
	top := h[0]
	n := len(h) - 1
	h[0] = h[n]
	h = h[:n]
	for k := 0; ; {
		least := k
		for c := 2*k + 1; c <= 2*k+2 && c < n; c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if least == k {
			break
		}
		h[k], h[least] = h[least], h[k]
		k = least
	}
	m.heap = h
	return top
}

func (a *candidate) before(b *candidate) bool {
	return a.key < b.key || a.key == b.key && a.left < b.left
}
