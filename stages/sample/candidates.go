package sample

import (
	"slices"

	"tritflow/device"
	"tritflow/quantkern"
)

// candidates is the set of tokens that may still be drawn, in descending order
// of logit and ascending order of id among equals. A draw looks at a few of many
// thousands, so the order is made as far as somebody looks: those near the largest
// logit are taken out of the row first, and dealt into buckets by how near they
// are; a bucket is put in order when its turn comes.
type candidates struct {
	row    []float32          // the whole vocabulary's logits, by id; empty where there is a list
	list   []device.Candidate // what the head answered instead, or scratch memory
	top    float32            // of row
	reach  float32            // how far from top candidates were taken out of row
	all    []device.Candidate // those that were taken out, bucket by bucket
	ends   []int32            // where each bucket ends
	opened int                // buckets that are in order, counted from the front
	n      int                // how many candidates are alive, counted from the front

	counts [buckets]int32
	probs  []float32 // scratch memory of softmax
}

const (
	// unsorted is how many candidates are put in order at once.
	unsorted = 256
	// buckets is how many there are for more of them: of 128,256 logits of random
	// weights some 70 share one.
	buckets = 4096
	// nearest is how far from the largest logit the first are that are taken out of a
	// row; then it is four times as far, and beyond farthest all that are left.
	nearest, farthest = 2, 32
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
	c.row = append(c.row[:0], sc.Full...)
	if c.list = c.list[:0]; sc.Full == nil {
		c.list = append(c.list, sc.Top...)
	}
}

// begin makes all that was loaded alive.
func (c *candidates) begin() {
	if c.empty(); len(c.row) == 0 {
		c.reset(c.list)
		return
	}
	c.n, c.reach = len(c.row), 0
	c.top = c.row[largest(c.row)]
}

// reset makes all of list, and nothing else, alive. It is copied.
func (c *candidates) reset(list []device.Candidate) {
	c.empty()
	c.row, c.n = c.row[:0], len(list)
	c.deal(list)
}

func (c *candidates) empty() { c.all, c.ends, c.opened = c.all[:0], c.ends[:0], 0 }

// takeOut deals the next ones of the row.
func (c *candidates) takeOut() {
	above := c.top - c.reach // these are out
	first := c.reach == 0
	c.reach = max(nearest, 4*c.reach)
	least := c.top - c.reach
	rest := c.reach > farthest // whatever they are
	c.list = c.list[:0]
	for id, l := range c.row {
		if (rest || l >= least) && (first || !(l >= above)) {
			c.list = append(c.list, device.Candidate{ID: int32(id), Logit: l})
		}
	}
	c.deal(c.list)
}

// deal appends the buckets of list, all of which come after those that are there.
func (c *candidates) deal(list []device.Candidate) {
	begin := len(c.all)
	if len(list) <= unsorted {
		c.all = append(c.all, list...)
		c.ends = append(c.ends, int32(len(c.all)))
		return
	}
	top, bottom := list[0].Logit, list[0].Logit
	for _, x := range list {
		if x.Logit > top {
			top = x.Logit
		}
		if x.Logit < bottom {
			bottom = x.Logit
		}
	}
	scale := (buckets - 1) / min(top-bottom, farthest)
	// Differences and products are rounded in step with the logits, so buckets are in order.
	bucket := func(l float32) int {
		if at := (top - l) * scale; at < buckets-1 {
			return int(at)
		}
		return buckets - 1 // also where all logits are the same
	}
	c.counts = [buckets]int32{}
	for _, x := range list {
		c.counts[bucket(x.Logit)]++
	}
	end := int32(begin)
	for i, count := range c.counts {
		c.counts[i] = end // the place of the bucket's next one
		if end += count; count > 0 {
			c.ends = append(c.ends, end)
		}
	}
	c.all = slices.Grow(c.all, len(list))[:begin+len(list)]
	for _, x := range list {
		place := &c.counts[bucket(x.Logit)]
		c.all[*place] = x
		*place++
	}
}

// at returns the i-th candidate, i < n.
func (c *candidates) at(i int) device.Candidate {
	for {
		sorted := 0
		if c.opened > 0 {
			sorted = int(c.ends[c.opened-1])
		}
		switch {
		case i < sorted:
			return c.all[i]
		case c.opened == len(c.ends):
			c.takeOut()
		default:
			slices.SortFunc(c.all[sorted:c.ends[c.opened]], order)
			c.opened++
		}
	}
}

// cut keeps the first n.
func (c *candidates) cut(n int) { c.n = min(c.n, n) }

// first keeps the first n. Sums over them go in their order, so that they do not depend
// on what else was offered.
func (c *candidates) first(n int) {
	c.cut(n)
	c.at(c.n - 1)
	c.row = c.row[:0]
}

// whole says that no token of the vocabulary was cut.
func (c *candidates) whole() bool { return len(c.row) > 0 && c.n == len(c.row) }

// softmax gives the probabilities of the live candidates at a temperature, by id where
// nothing was cut and in their order elsewhere, and the denominator Σ exp((l − max)/temp).
// The difference is divided, not the logits: this cannot overflow however small the
// temperature is.
func (c *candidates) softmax(temp float32) (probs []float32, total float64) {
	top := c.at(0).Logit
	c.probs = slices.Grow(c.probs[:0], c.n)[:c.n]
	if c.whole() {
		for i, l := range c.row {
			c.probs[i] = (l - top) / temp
		}
	} else {
		c.at(c.n - 1) // places stay what they are
		for i, x := range c.all[:c.n] {
			c.probs[i] = (x.Logit - top) / temp
		}
	}
	_, total = quantkern.Softmax(c.probs)
	return c.probs, total
}
