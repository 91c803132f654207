package stages

import (
	"container/heap"
	"encoding/binary"
)

// prefixTree remembers which page holds the keys and values of which tokens: a
// radix tree whose edges are the tokens of one whole page, so that the way
// from the root to a node is a prefix and the nodes on it are its pages.
// Whoever holds a node holds all above it. Nodes that nobody holds are cached;
// they are given up from the leaves, the one that was let go first before the
// others.
type prefixTree struct {
	root   node
	idle   idleLeaves
	cached int    // nodes that nobody holds
	clock  uint64 // counts the times that a node was let go
}

type node struct {
	parent   *node
	key      string
	page     int32
	children map[string]*node
	holders  int
	owner    *sequence // computes the page at the moment; nil: it is complete
	released uint64    // when the last holder let go
	index    int       // in idle; notIdle
}

const notIdle = -1

// pageKey is the edge of a page with these tokens.
func pageKey(tokens []int32) string {
	b := make([]byte, 0, 4*len(tokens))
	for _, t := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(t))
	}
	return string(b)
}

// add puts a page below a node that somebody holds; the caller holds the new one.
func (t *prefixTree) add(parent *node, key string, page int32, owner *sequence) *node {
	n := &node{parent: parent, key: key, page: page, holders: 1, owner: owner, index: notIdle}
	if parent.children == nil {
		parent.children = map[string]*node{}
	}
	parent.children[key] = n
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
	if n != &t.root && n.holders == 0 && len(n.children) == 0 && n.index == notIdle {
		heap.Push(&t.idle, n)
	}
}

// remove takes a leaf out of the tree.
func (t *prefixTree) remove(n *node) {
	delete(n.parent.children, n.key)
	t.settleDown(n.parent)
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
