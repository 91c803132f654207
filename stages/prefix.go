package stages

import (
	"container/heap"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

// prefixTree remembers which page holds the keys and values of which tokens: a
// radix tree whose edges are the tokens of one whole page, so that the way
// from the root to a node is a prefix and the nodes on it are its pages.
// Whoever holds a node holds all above it. Nodes that nobody holds are cached;
// they are given up from the leaves, the one that was let go first before the
// others. Nothing is allocated once it is made: a page has its node, and the
// edges are one table.
type prefixTree struct {
	root   node
	nodes  []node  // of every page
	tokens []int32 // on the edges to them, size each
	size   int
	edges  map[edge]*node // the node that was added last of those with the same edge
	seed   maphash.Seed
	bytes  []byte // of the tokens that are looked up
	idle   idleLeaves
	cached int    // nodes that nobody holds
	clock  uint64 // counts the times that a node was let go
}

// edge is where a node with certain tokens would be; other tokens may have the same hash.
type edge struct {
	parent *node
	hash   uint64
}

type node struct {
	edge
	page     int32
	same     *node // the next one with the same edge
	below    int   // nodes whose parent it is
	holders  int
	owner    *sequence // computes the page at the moment; nil: it is complete
	released uint64    // when the last holder let go
	index    int       // in idle; notIdle
}

const notIdle = -1

func newPrefixTree(pages, size int) prefixTree {
	return prefixTree{
		nodes: make([]node, pages), tokens: make([]int32, pages*size), size: size,
		edges: make(map[edge]*node, pages), seed: maphash.MakeSeed(), bytes: make([]byte, 0, 4*size),
		idle: make(idleLeaves, 0, pages),
	}
}

// edge is that of a page of these tokens below a node.
func (t *prefixTree) edge(parent *node, tokens []int32) edge {
	t.bytes = t.bytes[:0]
	for _, id := range tokens {
		t.bytes = binary.LittleEndian.AppendUint32(t.bytes, uint32(id))
	}
	return edge{parent, maphash.Bytes(t.seed, t.bytes)}
}

// named are the tokens on the edge to a node.
func (t *prefixTree) named(n *node) []int32 {
	return t.tokens[int(n.page)*t.size:][:t.size]
}

// find gives the node below another that has these tokens, nil where none has.
func (t *prefixTree) find(parent *node, tokens []int32) *node {
	n := t.edges[t.edge(parent, tokens)]
	for n != nil && !slices.Equal(t.named(n), tokens) {
		n = n.same
	}
	return n
}

// add puts a page below a node that somebody holds; the caller holds the new one.
func (t *prefixTree) add(parent *node, tokens []int32, page int32, owner *sequence) *node {
	e := t.edge(parent, tokens)
	n := &t.nodes[page]
	*n = node{edge: e, page: page, same: t.edges[e], holders: 1, owner: owner, index: notIdle}
	copy(t.named(n), tokens)
	t.edges[e] = n
	parent.below++
	return n
}

func (t *prefixTree) hold(n *node) {
	if n.holders++; n.holders > 1 {
		return
	}
	t.cached--
	if n.index != notIdle {
		heap.Remove(&t.idle, n.index)
	}
}

func (t *prefixTree) letGo(n *node) {
	if n.holders--; n.holders > 0 {
		return
	}
	t.cached++
	t.clock++
	n.released = t.clock
	t.settleDown(n)
}

// settleDown makes a node that nobody holds and that has nothing below it one
// of those that may be given up.
func (t *prefixTree) settleDown(n *node) {
	if n != &t.root && n.holders == 0 && n.below == 0 && n.index == notIdle {
		heap.Push(&t.idle, n)
	}
}

// remove takes a leaf out of the tree.
func (t *prefixTree) remove(n *node) {
	if first := t.edges[n.edge]; first != n {
		for first.same != n {
			first = first.same
		}
		first.same = n.same
	} else if n.same != nil {
		t.edges[n.edge] = n.same
	} else {
		delete(t.edges, n.edge)
	}
	parent := n.parent
	*n = node{page: n.page, index: notIdle}
	parent.below--
	t.settleDown(parent)
}

// evict gives up the cached leaf that was let go first and returns its page.
func (t *prefixTree) evict() (page int32, ok bool) {
	if len(t.idle) == 0 {
		return 0, false
	}
	n := heap.Pop(&t.idle).(*node)
	t.cached--
	t.remove(n)
	return n.page, true
}

// idleLeaves is a heap, the node that was let go first on top.
type idleLeaves []*node

func (h idleLeaves) Len() int           { return len(h) }
func (h idleLeaves) Less(i, j int) bool { return h[i].released < h[j].released }
func (h idleLeaves) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push and Pop are heap.Interface's.
func (h *idleLeaves) Push(x any) {
	n := x.(*node)
	n.index = len(*h)
	*h = append(*h, n)
}

func (h *idleLeaves) Pop() any {
	old := *h
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	n.index = notIdle
	return n
}
