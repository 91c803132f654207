package stages

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// verify checks the whole account: every page is free, in the tree, or held by
// one sequence alone, and the counts are those that the sequences explain.
func (c *kvCache) verify(t failer, seqs []*sequence) {
	t.Helper()
	owner := make([]string, c.total)
	claim := func(page int32, who string) {
		if owner[page] != "" {
			t.Fatalf("page %d is %s and %s", page, owner[page], who)
		}
		owner[page] = who
	}
	for _, p := range c.free {
		claim(p, "free")
	}
	holders := map[*node]int{}
	for _, q := range seqs {
		if len(q.path) > len(q.pages) || q.ready > len(q.path) || q.fed > len(q.pages)*c.size {
			t.Fatalf("a sequence of %d pages has a path of %d (%d ready) and was fed %d", len(q.pages), len(q.path), q.ready, q.fed)
		}
		at := &c.tree.root
		for i, n := range q.path {
			if n.parent != at || c.tree.find(at, c.on(q, i)) != n {
				t.Fatalf("page %d of a path is not where it should be", i)
			}
			holders[n]++
			at = n
		}
		for i, p := range q.pages {
			if i >= len(q.path) || q.path[i].page != p {
				claim(p, "a sequence's own")
			}
		}
	}
	cached, idle, nodes := 0, 0, 0
	var walk func(n *node)
	walk = func(n *node) {
		below := 0
		for i := range c.tree.nodes {
			child := &c.tree.nodes[i]
			if child.parent != n {
				continue
			}
			below++
			nodes++
			claim(child.page, "in the tree")
			if child.holders != holders[child] {
				t.Fatalf("a node says %d holders, there are %d", child.holders, holders[child])
			}
			if child.holders == 0 {
				cached++
				if child.owner != nil {
					t.Fatal("a page that is not complete is cached")
				}
			} else if n != &c.tree.root && n.holders == 0 {
				t.Fatal("a node is held, the one above it is not")
			}
			if leaf := child.holders == 0 && child.below == 0; leaf != (child.index != notIdle) {
				t.Fatalf("a node that may be given up: %v, but its place among those is %d", leaf, child.index)
			} else if leaf {
				idle++
			}
			walk(child)
		}
		if below != n.below {
			t.Fatalf("%d nodes below one that says %d", below, n.below)
		}
	}
	walk(&c.tree.root)
	listed := 0
	for _, n := range c.tree.edges {
		for ; n != nil; n = n.same {
			listed++
		}
	}
	if listed != nodes {
		t.Fatalf("%d nodes in the tree, %d in the table of edges", nodes, listed)
	}
	if cached != c.tree.cached || idle != len(c.tree.idle) {
		t.Fatalf("%d cached and %d idle nodes, counted %d and %d", cached, idle, c.tree.cached, len(c.tree.idle))
	}
	if i := slices.Index(owner, ""); i >= 0 {
		t.Fatalf("page %d is lost", i)
	}
}

type quiet struct{ task }

func (quiet) every() bool { return false }

// TestCacheAccount runs 10,000 random schedules over small caches: sequences
// come with common beginnings, read, wait, draw, fail, are preempted and end.
// After every move all pages add up, and what a sequence holds is never given
// to another.
func TestCacheAccount(t *testing.T) {
	schedules := 10_000
	if raceEnabled {
		schedules = 500
	}
	var reused, evicted uint64
	for seed := range uint64(schedules) {
		r := rand.New(rand.NewPCG(seed, 5))
		c := newKVCache(1+r.IntN(14), 1+r.IntN(4), r.IntN(5) > 0)
		var live []*sequence
		contents := map[int32][]int32{} // page -> the tokens that it stands for, from the first one
		for range 40 {
			if len(live) == 0 || r.IntN(5) == 0 {
				tokens := make([]int32, 1+r.IntN(4*c.size))
				for i := range tokens {
					tokens[i] = int32(r.IntN(4) / 3) // mostly 0: much in common
				}
				q := &sequence{task: quiet{}}
				q.begin(quiet{}, tokens, 1<<20)
				live = append(live, q)
				continue
			}
			i := r.IntN(len(live))
			q := live[i]
			switch move := r.IntN(10); {
			case move < 6 && q.fed < len(q.tokens):
				if c.reuse(q) {
					break
				}
				for p := range q.path {
					checkContents(t, c, q, p, contents)
				}
				n := c.cover(q, min(1+r.IntN(5), len(q.tokens)-q.fed))
				for pos := q.fed; pos < q.fed+n; pos++ {
					if (pos+1)%c.size == 0 {
						contents[q.pages[pos/c.size]] = slices.Clone(q.tokens[:pos+1])
					}
				}
				q.fed += n
				c.verify(t, live)
				c.settle(q, q.fed)
			case move < 8 && q.fed == len(q.tokens):
				q.tokens = append(q.tokens, int32(r.IntN(2)))
			case move == 8: // preempted
				c.release(q)
			case move == 9:
				c.release(q)
				live = slices.Delete(live, i, i+1)
			}
			c.verify(t, live)
		}
		for _, q := range live {
			c.release(q)
		}
		c.verify(t, nil)
		if c.held() != 0 || c.available() != c.total || !c.share && c.tree.cached != 0 {
			t.Fatalf("at the end %d pages are held, %d of %d available", c.held(), c.available(), c.total)
		}
		reused, evicted = reused+c.reused, evicted+c.evicted
	}
	if reused == 0 || evicted == 0 {
		t.Errorf("%d positions were reused, %d pages evicted: the schedules try too little", reused, evicted)
	}
}

// checkContents: a page that a sequence shares still holds its tokens.
func checkContents(t *testing.T, c *kvCache, q *sequence, p int, contents map[int32][]int32) {
	t.Helper()
	if end := (p + 1) * c.size; end <= q.fed && !slices.Equal(contents[q.pages[p]], q.tokens[:end]) {
		t.Fatalf("page %d holds %v, its sequence has %v", q.pages[p], contents[q.pages[p]], q.tokens[:end])
	}
}

func TestPagesGivenTwice(t *testing.T) {
	p := newPages(3, 4)
	page, _ := p.pop()
	p.push(page)
	defer func() {
		if recover() == nil {
			t.Error("a page was given back twice")
		}
	}()
	p.push(page)
}

// TestOldestPrefixGoesFirst: of the prefixes that nobody holds, the one that
// was let go first is given up, its end before its beginning.
func TestOldestPrefixGoesFirst(t *testing.T) {
	c := newKVCache(4, 2, true)
	run := func(tokens ...int32) *sequence {
		q := &sequence{task: quiet{}}
		q.begin(quiet{}, tokens, 8)
		c.reuse(q)
		q.fed += c.cover(q, len(tokens)-q.fed)
		c.settle(q, q.fed)
		return q
	}
	first := run(1, 1, 2, 2)
	second := run(3, 3, 4, 4)
	c.release(first)
	c.release(second)
	again := run(1, 1, 9, 9) // takes the first page over, and one of the oldest leaf
	if c.reused != 2 || c.evicted != 1 || len(again.pages) != 2 {
		t.Errorf("%d positions reused, %d pages evicted", c.reused, c.evicted)
	}
	if third := run(3, 3, 4, 4, 5); c.reused != 2+4 || len(third.path) != 2 {
		t.Errorf("the younger prefix was given up: %d positions reused", c.reused)
	}
}

// TestReusedOnce: what a sequence computed, lost to another and took over again was not spared,
// and what it took over twice was spared once.
func TestReusedOnce(t *testing.T) {
	c := newKVCache(4, 2, true)
	read := func(q *sequence) {
		c.reuse(q)
		q.fed += c.cover(q, len(q.tokens)-q.fed)
		q.most = max(q.most, q.fed)
		c.settle(q, q.fed)
	}
	for _, want := range []int{0, 6} {
		q := &sequence{task: quiet{}}
		q.begin(quiet{}, []int32{1, 1, 2, 2, 3, 3, 4}, 8)
		read(q)
		c.release(q) // preempted
		c.reuse(q)   // and before its next row again
		c.release(q)
		read(q)
		if q.fed != 7 || q.reused != want {
			t.Errorf("%d positions of %d were reused, want %d", q.reused, q.fed, want)
		}
		c.release(q)
	}
	if c.reused != 2*6+3*6 {
		t.Errorf("%d positions reused in all", c.reused)
	}
}

// TestSameAgain: a sequence that comes to what the tree has already, with pages
// of its own, needs no more pages than its positions. Alone it can have all.
func TestSameAgain(t *testing.T) {
	c := newKVCache(4, 2, true)
	for range 3 {
		q := &sequence{task: quiet{}}
		q.begin(quiet{}, []int32{1}, 8)
		for q.fed < 8 {
			c.reuse(q)
			if c.cover(q, 1) == 0 {
				t.Fatalf("no page for position %d, the sequence holds %d of %d", q.fed, c.held(), c.total)
			}
			q.fed++
			c.settle(q, q.fed)
			q.tokens = append(q.tokens, int32(q.fed))
			if want := c.need(q.fed); c.held() != want {
				t.Fatalf("%d pages are held at %d positions, want %d", c.held(), q.fed, want)
			}
		}
		c.release(q)
	}
}
