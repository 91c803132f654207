//go:build cuda

package cuda

import (
	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// clusters tells whether the blocks of a cluster share the chunks of a KV head of a row and fold them themselves:
// few rows, where blocks can write to each other. Else one kernel is for chunks and another one folds them.
func (b *block) clusters(g *gpu, s *step) bool {
	return b.decodes(s) && !b.apart(g, s) && g.clustered(&b.spec, s.tables.rows)
}

func (g *gpu) clustered(spec *graph.Block, rows int) bool {
	return g.kern.exact && spec.Heads/spec.KVHeads <= 16 && rows*spec.KVHeads <= g.kern.attention(spec.KeyDim).mostClusters[len(clusterSizes)-1]
}

// clusterSizes are how many blocks a cluster may have.
var clusterSizes = [...]int{8, 4}

// readyClusters prepares the kernels for heads of so many values.
func (a *attention) readyClusters(dim int) error {
	for i, n := range clusterSizes {
		k := &a.clusters[i]
		k.cluster = n
		err := k.f.AllowShared(clusterShared(dim, 2))
		if err == nil {
			shape := driver.Config{Grid: driver.Dim{X: n}, Block: driver.Dim{X: 128}, Shared: clusterShared(dim, 1), Cluster: driver.Dim{X: n}}
			a.mostClusters[i], err = k.f.MostClusters(shape)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clusterShared is the shared memory of a block of attn_cluster with how many eights of heads that share a KV head.
func clusterShared(dim, eights int) int { return 256*dim + 16 + eights*(3072+64*dim) }

// clusterSize is the size of clusters for so many rows, an index of clusterSizes: the largest ones of which all are
// at work at once.
func (g *gpu) clusterSize(spec *graph.Block, rows int) int {
	for size, most := range g.kern.attention(spec.KeyDim).mostClusters {
		if rows*spec.KVHeads <= most {
			return size
		}
	}
	return len(clusterSizes) - 1
}

// attendClusters is attention for a step whose KV heads of a row are a cluster's each.
func (g *gpu) attendClusters(b *block, s *step, k *attention, size int, cos, sin driver.Ptr) error {
	spec, sp, t, c := &b.spec, &s.space, s.tables, &b.cache
	return g.fail("attention", k.clusters[size].run(g.stream, driver.Dim{X: clusterSizes[size], Y: spec.KVHeads, Z: t.rows}, 128, clusterShared(spec.KeyDim, ceilDiv(spec.Heads/spec.KVHeads, 8)), true,
		sp.qkv, c.k, c.v, s.at, s.word(t.pages), cos, sin, sp.att, spec.AttnScale, &c.shape))
}
