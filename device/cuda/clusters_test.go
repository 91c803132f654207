//go:build cuda

package cuda

import (
	"testing"

	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// clusteredGPU has the sizes of an H100 for heads of 128 values, four to a KV head.
func clusteredGPU() *gpu {
	g := &gpu{kern: &kernelSet{exact: true}, props: &driver.Properties{SMs: 132}}
	g.kern.attn.init()
	for i, most := range []int{62, 79, 94, 124, 154} {
		g.kern.attention(128, keptHalves).clusters[0][i].most = most
	}
	return g
}

// Clusters are as large as they have to be.
func TestClusterOf(t *testing.T) {
	g := clusteredGPU()
	spec := &graph.Block{Heads: 20, KVHeads: 5, KeyDim: 128, ValueDim: 128}
	for _, c := range []struct {
		rows, chunks int
		want         string
	}{
		{5, 1, "4x5"}, {5, 4, "4x5"}, {5, 5, "5x4"}, {5, 8, "8x4"}, {5, 9, "5x4"}, {5, 20, "8x4"},
		{12, 8, "8x4"}, {12, 9, "5x4"}, {12, 12, "6x4"}, {13, 8, "4x5"},
		{16, 4, "4x5"}, {16, 5, "5x5"}, {16, 6, "6x4"}, {17, 6, "4x5"}, {16, 8, "4x5"}, {16, 9, "5x5"}, {16, 11, "4x5"},
		{26, 1, "4x5"}, {26, 12, "4x5"},
	} {
		if got, want := g.clusterOf(spec, keptHalves, c.rows, c.chunks).name(128, ""), "attn_cluster"+c.want+"_128_4"; got != want {
			t.Errorf("%d rows of %d chunks: %s, want %s", c.rows, c.chunks, got, want)
		}
	}
	for group, want := range map[int]int{1: 4, 4: 4, 5: 16, 16: 16} {
		if got := clusterHeads[clusterClass(group)]; got != want {
			t.Errorf("%d heads to a KV head: kernels for %d, want %d", group, got, want)
		}
	}
}

// Memory is left unused only where that was measured to help.
func TestAside(t *testing.T) {
	gp, spec := clusteredGPU(), graph.Block{Heads: 20, KVHeads: 5, KeyDim: 128, ValueDim: 128}
	normed, short := spec, spec
	normed.QNorm, short.KeyDim = &graph.Norm{}, 64
	for _, c := range []struct {
		spec          *graph.Block
		kept, rows    int
		decodes       bool
		output, gates int
	}{
		{&spec, keptHalves, 7, true, 0, 0}, {&spec, keptHalves, 8, true, asideOutput, 0}, {&spec, keptHalves, 16, true, asideOutput, asideGates},
		{&spec, keptHalves, 16, false, 0, 0}, {&spec, keptBytes, 16, true, 0, 0}, {&normed, keptHalves, 16, true, 0, 0}, {&short, keptHalves, 16, true, 0, 0},
	} {
		b := &block{spec: *c.spec, cache: cache{kept: c.kept}}
		s := &step{tables: &tables{rows: c.rows, decodeAll: c.decodes}}
		if o, g := b.aside(gp, s, asideFrom, asideOutput), b.aside(gp, s, asideGatesFrom, asideGates); o != c.output || g != c.gates {
			t.Errorf("%+v: %d and %d bytes aside", c, o, g)
		}
	}
}
