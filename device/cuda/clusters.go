//go:build cuda

package cuda

import (
	"fmt"
	"slices"

	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// cluster is the kernel where the blocks of a cluster share the chunks of a KV head of a row and fold them themselves:
// few rows, where blocks can write to each other. Else (nil) one kernel is for chunks and another one folds them.
func (b *block) cluster(g *gpu, s *step) *clusterKernel {
	if !b.decodes(s) || b.apart(g, s) || !g.clustered(&b.spec, b.cache.kept, s.tables.rows) {
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
	return rows*spec.KVHeads <= list[len(list)-1].most
}

// clusterHeads are how many heads share a KV head at most: a class of kernels for each.
var clusterHeads = [...]int{4, 16}

// clusterShapes are the kernels of each class: blocks of a cluster, the largest first, and how many blocks may be on a
// multiprocessor.
var clusterShapes = [len(clusterHeads)][]struct{ n, blocks int }{
	{{8, 4}, {6, 4}, {5, 4}, {5, 5}, {4, 5}},
	{{8, 4}, {6, 4}, {5, 4}, {4, 4}},
}

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

// ready prepares the kernels for heads of so many values, of which a chunk takes so many bytes.
func (c clusterKernels) ready(dim, chunk int) error {
	for _, list := range c {
		for _, k := range list {
			k.cluster = k.n
			k.shared = chunk + k.room(dim)
			err := k.f.AllowShared(k.shared)
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

// room is the shared memory behind that of a chunk.
func (k *clusterKernel) room(dim int) int {
	turns, slice := 4, 2*ceilDiv(dim, 2*k.n)
	if k.heads > clusterHeads[0] {
		turns = 2
	}
	return turns*(8+k.n*k.heads*(8+4*slice)) + max(2048*ceilDiv(k.heads, 8), 2*k.heads*dim)
}

// clusterOf is the kernel for so many rows of up to so many chunks of positions: of those whose clusters are all at work at once (but
// one in 64, which does no harm) the one with the smallest that goes through the chunks in the fewest turns. More than three blocks
// a multiprocessor are one turn's: in a second one they would wait for the memory together. Five at a time on a multiprocessor
// are for where there are three and more: fewer would crowd on some (BenchmarkStep).
func (g *gpu) clusterOf(spec *graph.Block, kept, rows, chunks int) *clusterKernel {
	list := g.kern.attention(spec.KeyDim, kept).clusters[clusterClass(spec.Heads/spec.KVHeads)]
	pairs := rows * spec.KVHeads
	best := list[len(list)-1]
	turns := ceilDiv(chunks, best.n)
	for _, k := range slices.Backward(list[:len(list)-1]) {
		t, sixths := ceilDiv(chunks, k.n), 6*pairs*k.n/g.props.SMs // of a block on a multiprocessor
		if t >= turns || pairs > k.most*65/64 || t > 1 && sixths >= 21 || k.blocks > 4 && sixths < 18 {
			continue
		}
		best, turns = k, t
	}
	return best
}

// attendClusters is attention for a step whose KV heads of a row are a cluster's each.
func (g *gpu) attendClusters(b *block, s *step, k *clusterKernel, cos, sin driver.Ptr) error {
	spec, sp, t, c := &b.spec, &s.space, s.tables, &b.cache
	return g.fail("attention", k.run(g.stream, driver.Dim{X: k.n, Y: spec.KVHeads, Z: t.rows}, 128, k.shared, true,
		sp.qkv, c.k, c.v, s.at, s.word(t.pages), cos, sin, sp.att, spec.AttnScale, &c.shape))
}
