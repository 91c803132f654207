//go:build cuda

package cuda

import (
	"fmt"
	"slices"

	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// clustered tells whether the blocks of a cluster share the chunks of a KV head of a row and fold them themselves:
// no more rows than those clusters have room for that are at work at once, where blocks can write to each other. Else a
// block has all chunks (block.apart), or one kernel is for chunks and another one folds them.
func (b *block) clustered(g *gpu, s *step) bool {
	return b.decodes(s) && g.clustered(&b.spec, b.cache.kept, s.tables.rows)
}

// cluster is the kernel for that; nil where they do not.
func (b *block) cluster(g *gpu, s *step) *clusterKernel {
	if !b.clustered(g, s) {
		return nil
	}
	return g.clusterOf(&b.spec, b.cache.kept, s.tables.rows, ceilDiv(s.tables.longest, positionsOfChunk))
}

func (g *gpu) clustered(spec *graph.Block, kept, rows int) bool {
	group := spec.Heads / spec.KVHeads
	if !g.kern.exact || group > clusterHeads[len(clusterHeads)-1] {
		return false
	}
	list := g.kern.attention(spec.KeyDim, kept).clusters[clusterClass(group)]
	return list[len(list)-1].fits(rows * spec.KVHeads)
}

// clusterHeads are how many heads share a KV head at most: a class of kernels for each.
var clusterHeads = [...]int{4, 16}

// clusterShapes are the kernels of each class: blocks of a cluster, the largest first, and how many blocks may be on a
// multiprocessor.
var clusterShapes = [len(clusterHeads)][]struct{ n, blocks int }{
	{{8, 4}, {6, 4}, {5, 4}, {5, 5}, {4, 5}, {3, 4}, {2, 4}},
	{{8, 4}, {6, 4}, {5, 4}, {4, 4}},
}

// leastOfFew are the blocks of the smallest clusters where few KV heads of rows are at work; smaller ones are for many.
const leastOfFew = 4

// clusterClass is the class for so many heads that share a KV head.
func clusterClass(group int) int {
	class := 0
	for clusterHeads[class] < group {
		class++
	}
	return class
}

// clusterKernel is a kernel of decode_cluster.cuh.
type clusterKernel struct {
	kernel
	n, blocks int
	heads     int // that share a KV head at most
	most      int // clusters that are at work at once
	shared    int // memory of a block (Room of kernels/decode_cluster.cuh)
}

// clusterKernels are those for one head dimension, by class.
type clusterKernels [len(clusterHeads)][]*clusterKernel

func newClusterKernels() (c clusterKernels) {
	for class, shapes := range clusterShapes {
		for _, s := range shapes {
			c[class] = append(c[class], &clusterKernel{n: s.n, blocks: s.blocks, heads: clusterHeads[class]})
		}
	}
	return c
}

// ready prepares the kernels for heads of so many values, of which a chunk and a row's own position take so many bytes.
func (c clusterKernels) ready(dim, chunk int) error {
	for _, list := range c {
		for _, k := range list {
			k.cluster = k.n
			k.shared = chunk + k.room(dim)
			err := k.f.AllowShared(max(k.shared, asideAttention))
			if err == nil {
				k.most, err = k.f.MostClusters(driver.Config{Grid: driver.Dim{X: k.n}, Block: driver.Dim{X: 128}, Shared: k.shared, Cluster: driver.Dim{X: k.n}})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *clusterKernel) name(dim int, kept string) string {
	return fmt.Sprintf("attn_cluster%dx%d%s_%d_%d", k.n, k.blocks, kept, dim, k.heads)
}

// room is the shared memory behind that of a chunk, without that for a row's own position.
func (k *clusterKernel) room(dim int) int {
	turns, slice := 4, 2*ceilDiv(dim, 2*k.n)
	if k.heads > clusterHeads[0] {
		turns = 2
	}
	return turns*(8+k.n*k.heads*(8+4*slice)) + max(2048*ceilDiv(k.heads, 8), 2*k.heads*dim)
}

// fits tells whether all but one in 64 of so many clusters are at work at once: that one does no harm.
func (k *clusterKernel) fits(pairs int) bool { return 64*pairs <= 65*k.most }

// clusterOf is the kernel for so many rows of up to so many chunks of positions: of those whose clusters are all at work at once
// the one with the smallest that goes through the chunks in the fewest turns. More than three and a half blocks
// a multiprocessor are one turn's: in a second one they would wait for the memory together, and where the smallest clusters
// of four are so many the largest of the smaller ones that are fewer do it. Five at a time on a multiprocessor
// are for where there are more than three: fewer would crowd on some (BenchmarkStep).
func (g *gpu) clusterOf(spec *graph.Block, kept, rows, chunks int) *clusterKernel {
	list := g.kern.attention(spec.KeyDim, kept).clusters[clusterClass(spec.Heads/spec.KVHeads)]
	pairs := rows * spec.KVHeads
	sixths := func(k *clusterKernel) int { return 6 * pairs * k.n / g.props.SMs } // of a block on a multiprocessor
	at := slices.IndexFunc(list, func(k *clusterKernel) bool { return k.n <= leastOfFew && k.fits(pairs) && sixths(k) < mostSixths })
	if at < 0 {
		at = len(list) - 1
	}
	best := list[at]
	if best.n < leastOfFew {
		return best
	}
	turns := ceilDiv(chunks, best.n)
	for _, k := range slices.Backward(list[:at]) {
		t := ceilDiv(chunks, k.n)
		if t >= turns || !k.fits(pairs) || t > 1 && sixths(k) >= mostSixths || k.blocks > 4 && sixths(k) < 19 {
			continue
		}
		best, turns = k, t
	}
	return best
}

// mostSixths is how many sixths of a block on a multiprocessor are too many for a second turn.
const mostSixths = 21

// attendClusters is attention for a step whose KV heads of a row are a cluster's each.
func (g *gpu) attendClusters(b *block, s *step, k *clusterKernel, cos, sin driver.Ptr) error {
	spec, sp, t, c := &b.spec, &s.space, s.tables, &b.cache
	return g.fail("attention", k.run(g.stream, driver.Dim{X: k.n, Y: spec.KVHeads, Z: t.rows}, 128, b.attendRoom(g, k, t.rows), true,
		sp.qkv, c.k, c.v, s.at, s.word(t.pages), cos, sin, sp.att, spec.AttnScale, &c.shape))
}
