package sample

import "tritflow/device"

// candidates is the set of tokens that may still be drawn, in descending order
// of logit and ascending order of id among equals. The order is made lazily
// (a heap is popped as far as somebody looks), because cuts and draws look at
// a few of many thousands.
type candidates struct {
	sorted []device.Candidate // the first ones, in order
	heap   []device.Candidate // all others
	n      int                // how many are alive, counted from the front

	weights []float32 // scratch memory of draw
}

// before is the order of candidates.
func before(a, b device.Candidate) bool {
	return a.Logit > b.Logit || a.Logit == b.Logit && a.ID < b.ID
}

// order is before as a comparison.
func order(a, b device.Candidate) int {
	switch {
	case before(a, b):
		return -1
	case before(b, a):
		return 1
	default:
		return 0
	}
}

// reset makes all of heap alive and takes it over.
func (c *candidates) reset(heap []device.Candidate) {
	c.sorted, c.heap, c.n = c.sorted[:0], heap, len(heap)
	for i := len(heap)/2 - 1; i >= 0; i-- {
		c.sift(i)
	}
}

func (c *candidates) sift(i int) {
	h := c.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && before(h[child+1], h[child]) {
			child++
		}
		if !before(h[child], h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// at returns the i-th candidate, i < n.
func (c *candidates) at(i int) device.Candidate {
	for len(c.sorted) <= i {
		last := len(c.heap) - 1
		c.sorted = append(c.sorted, c.heap[0])
		c.heap[0] = c.heap[last]
		c.heap = c.heap[:last]
		c.sift(0)
	}
	return c.sorted[i]
}

// cut keeps the first n.
func (c *candidates) cut(n int) { c.n = min(c.n, n) }

// first keeps the first n and brings them in order at once, so that sums over
// them do not depend on what else was offered.
func (c *candidates) first(n int) {
	c.cut(n)
	c.at(c.n - 1)
}

// each visits the live candidates in a fixed order that need not be theirs.
func (c *candidates) each(visit func(device.Candidate)) {
	if c.n < len(c.sorted)+len(c.heap) {
		c.at(c.n - 1)
		for _, x := range c.sorted[:c.n] {
			visit(x)
		}
		return
	}
	for _, part := range [][]device.Candidate{c.sorted, c.heap} {
		for _, x := range part {
			visit(x)
		}
	}
}
