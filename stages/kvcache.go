package stages

// kvCache keeps account of a ring's KV pages: each is free, held by sequences,
// or cached (in the prefix tree, held by nobody). Sequences take pages as they
// need them. Used by the scheduler's goroutine alone.
//
// With sharing, the pages of a prompt are in the tree from the moment at which
// their first row goes in, owned by the sequence that computes them; others
// with the same prefix wait for them instead of computing them again. Pages
// that the answer fills follow when they are full. A page is taken over by
// another sequence only when the step that completed it has come back, because
// a step that fails leaves its pages unwritten.
type kvCache struct {
	pages
	tree  prefixTree
	share bool

	reused  uint64 // positions taken over from the tree
	evicted uint64 // pages given up by it
}

// holding is what a sequence has of the cache.
type holding struct {
	pages   []int32 // position p is in pages[p/size]
	path    []*node // of the first pages
	ready   int     // nodes of the path that are known to be complete
	private bool    // nothing more of it goes into the tree
}

func newKVCache(total, size int, share bool) *kvCache {
	c := &kvCache{pages: newPages(total, size), share: share}
	if share {
		c.tree = newPrefixTree(total, size)
	}
	return c
}

// available is how many pages could be taken.
func (c *kvCache) available() int { return len(c.free) + c.tree.cached }

// held is how many pages sequences hold.
func (c *kvCache) held() int { return c.total - c.available() }

// take gives a free page, or one that the tree gives up.
func (c *kvCache) take() (int32, bool) {
	if page, ok := c.pop(); ok {
		return page, true
	}
	page, ok := c.tree.evict()
	if ok {
		c.evicted++
	}
	return page, ok
}

// tail is the last node of a sequence's path.
func (c *kvCache) tail(q *sequence) *node {
	if n := len(q.path); n > 0 {
		return q.path[n-1]
	}
	return &c.tree.root
}

// on are the tokens on a sequence's page i.
func (c *kvCache) on(q *sequence, i int) []int32 {
	return q.tokens[i*c.size : (i+1)*c.size]
}

func (c *kvCache) shares(q *sequence) bool { return c.share && !q.private }

// reuse moves a sequence on over the pages that are there already; busy: the
// next one is being computed for another. The last known token is always fed,
// because somebody waits for its logits.
func (c *kvCache) reuse(q *sequence) (busy bool) {
	for c.shares(q) && len(q.path) == len(q.pages) && q.fed == len(q.pages)*c.size && q.fed+c.size < len(q.tokens) {
		n := c.tree.find(c.tail(q), c.on(q, len(q.path)))
		if n == nil {
			return false
		}
		if n.owner != nil {
			return true
		}
		c.tree.hold(n)
		q.path, q.pages = append(q.path, n), append(q.pages, n.page)
		q.ready = len(q.path)
		// After a preemption it takes over again what it had before, which is not counted twice.
		q.reused += max(0, q.fed+c.size-max(q.fed, q.most))
		q.fed += c.size
		q.most = max(q.most, q.fed)
		c.reused += uint64(c.size)
	}
	return false
}

// cover takes pages for the sequence's next n rows and returns for how many
// there are enough.
func (c *kvCache) cover(q *sequence, n int) int {
	for q.fed+n > len(q.pages)*c.size {
		page, ok := c.take()
		if !ok {
			return max(0, len(q.pages)*c.size-q.fed)
		}
		i := len(q.pages)
		q.pages = append(q.pages, page)
		if c.shares(q) && len(q.path) == i && (i+1)*c.size <= len(q.tokens) {
			if parent := c.tail(q); c.tree.find(parent, c.on(q, i)) == nil {
				q.path = append(q.path, c.tree.add(parent, c.on(q, i), page, q))
			}
		}
	}
	return n
}

// settle notes that the positions before upto are computed.
func (c *kvCache) settle(q *sequence, upto int) {
	if !c.shares(q) {
		return
	}
	full := upto / c.size
	for ; q.ready < min(full, len(q.path)); q.ready++ {
		if n := q.path[q.ready]; n.owner == q {
			n.owner = nil
		}
	}
	for ; len(q.path) < full; q.ready++ {
		i := len(q.path)
		parent := c.tail(q)
		n := c.tree.find(parent, c.on(q, i))
		switch {
		case n == nil:
			n = c.tree.add(parent, c.on(q, i), q.pages[i], nil)
		case n.owner != nil:
			q.private = true // another may yet fail to complete it
			return
		case q.underWay > 0:
			q.private = true // steps under way read the page of its own
			return
		default:
			// Of two pages with the same contents one is enough, and a sequence
			// that is alone must never hold more pages than its positions need.
			c.tree.hold(n)
			c.push(q.pages[i])
			q.pages[i] = n.page
		}
		q.path = append(q.path, n)
	}
}

// release gives back everything that a sequence has, from the end: what is
// complete stays in the tree. Nothing of the sequence may be under way.
func (c *kvCache) release(q *sequence) {
	for i := len(q.pages) - 1; i >= 0; i-- {
		if i >= len(q.path) {
			c.push(q.pages[i])
			continue
		}
		n := q.path[i]
		if n.owner == q {
			c.tree.remove(n)
			c.push(n.page)
			continue
		}
		c.tree.letGo(n)
	}
	q.holding = holding{private: q.private}
	q.fed = 0
}

// missing is how many pages it takes to go on with a sequence that has none:
// those of its tokens and of one more, without those that others hold anyway.
func (c *kvCache) missing(q *sequence) int {
	n := c.need(min(len(q.tokens)+1, q.limit))
	at := &c.tree.root
	for i := 0; c.shares(q) && (i+1)*c.size < len(q.tokens); i++ {
		if at = c.tree.find(at, c.on(q, i)); at == nil || at.holders == 0 {
			break
		}
		n--
	}
	return n
}

// promised is how many pages a live sequence has yet to take for the tokens that it has.
func (c *kvCache) promised(q *sequence) int {
	return max(0, c.need(len(q.tokens))-len(q.pages))
}
