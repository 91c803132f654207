package sample

import (
	"slices"

	"tritflow/device"
)

// candidates is the set of tokens that may still be drawn, in descending order
// of logit and ascending order of id among equals. They stand in buckets by how
// far they are from the largest logit; a bucket is put in order when somebody looks
// into it, because cuts and draws look at a few of many thousands.
type candidates struct {
	all    []device.Candidate // bucket by bucket
	ends   []int32            // where each bucket ends
	opened int                // the first buckets, which are in order
	n      int                // how many are alive, counted from the front

	offered []device.Candidate // what the head answered, after penalties
	weights []float32          // scratch memory of draw
}

const (
	// unsorted is how many candidates are put in order at once.
	unsorted = 256
	// buckets is how many there are for more of them: of 128,256 spread like random
	// weights' logits some 70 share one.
	buckets = 4096
	// farthest is how far from the largest logit candidates are told apart before
	// somebody looks: e^-32 of its probability.
	farthest = 32
)

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

// load copies the scores, because the chain changes them.
func (c *candidates) load(sc device.Scores) {
	c.offered = c.offered[:0]
	if sc.Full == nil {
		c.offered = append(c.offered, sc.Top...)
		return
	}
	for id, l := range sc.Full {
		c.offered = append(c.offered, device.Candidate{ID: int32(id), Logit: l})
	}
}

// reset makes all of list alive. It is copied.
func (c *candidates) reset(list []device.Candidate) {
	c.n, c.opened = len(list), 0
	if len(list) <= unsorted {
		c.all = append(c.all[:0], list...)
		c.ends = append(c.ends[:0], int32(len(list)))
		return
	}
	top, bottom := list[0].Logit, list[0].Logit
	for _, x := range list {
		top, bottom = max(top, x.Logit), min(bottom, x.Logit)
	}
	scale := (buckets - 1) / min(top-bottom, farthest)
	// Differences and products are rounded in step with the logits, so buckets are in order.
	bucket := func(l float32) int {
		if at := (top - l) * scale; at < buckets-1 {
			return int(at)
		}
		return buckets - 1 // also where nothing or everything is the same
	}
	c.ends = append(c.ends[:0], make([]int32, buckets)...)
	for _, x := range list {
		c.ends[bucket(x.Logit)]++
	}
	begin := int32(0)
	for i, count := range c.ends {
		c.ends[i] = begin
		begin += count
	}
	c.all = slices.Grow(c.all[:0], len(list))[:len(list)]
	for _, x := range list {
		b := bucket(x.Logit)
		c.all[c.ends[b]] = x
		c.ends[b]++
	}
}

// at returns the i-th candidate, i < n.
func (c *candidates) at(i int) device.Candidate {
	for c.sorted() <= i {
		begin := c.sorted()
		slices.SortFunc(c.all[begin:c.ends[c.opened]], order)
		c.opened++
	}
	return c.all[i]
}

// sorted is how many of the first are in order.
func (c *candidates) sorted() int {
	if c.opened == 0 {
		return 0
	}
	return int(c.ends[c.opened-1])
}

// cut keeps the first n.
func (c *candidates) cut(n int) { c.n = min(c.n, n) }

// live are those that are alive, in a fixed order that need not be theirs. Once some
// are cut, or all have been looked at, it is: sums over what is left then do not depend
// on what else was offered.
func (c *candidates) live() []device.Candidate {
	if c.n < len(c.all) || c.n <= unsorted {
		c.at(c.n - 1)
	}
	return c.all[:c.n]
}
