//go:build cuda

package cuda

import (
	"testing"

	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// clusteredGPU has the sizes of an H100 for heads of 128 values, four to a KV head; clusters of three and two are as many as
// its multiprocessors have places for.
func clusteredGPU() *gpu {
	g := &gpu{kern: &kernelSet{exact: true}, props: &driver.Properties{SMs: 132}}
	g.kern.attn.init()
	for i, most := range []int{62, 79, 94, 124, 154, 176, 264} {
		for _, kept := range []int{keptHalves, keptBytes} {
			g.kern.attention(128, kept).clusters[0][i].most = most
		}
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
		{16, 4, "4x5"}, {16, 5, "5x4"}, {16, 6, "6x4"}, {17, 6, "4x5"}, {16, 8, "4x5"}, {16, 9, "5x4"}, {18, 5, "5x5"}, {16, 11, "4x5"},
		{23, 1, "4x5"}, {23, 12, "4x5"}, {24, 4, "3x4"}, {26, 12, "3x4"}, {30, 12, "3x4"}, {31, 8, "2x4"}, {53, 8, "2x4"},
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
	g, spec := clusteredGPU(), graph.Block{Heads: 20, KVHeads: 5, KeyDim: 128, ValueDim: 128}
	normed, short := spec, spec
	normed.QNorm, short.KeyDim = &graph.Norm{}, 64
	for _, c := range []struct {
		spec    *graph.Block
		kept    int
		rows    int
		decodes bool
		want    int
	}{
		{&spec, keptHalves, 5, true, asideInner}, {&spec, keptHalves, 16, true, asideInner}, {&spec, keptBytes, 16, true, asideInner},
		{&spec, keptHalves, 53, true, asideInner}, {&spec, keptHalves, 54, true, 0}, {&spec, keptHalves, 16, false, 0}, {&normed, keptHalves, 16, true, 0}, {&short, keptHalves, 16, true, 0},
	} {
		b := &block{spec: *c.spec, cache: cache{kept: c.kept}}
		s := &step{tables: &tables{rows: c.rows, decodeAll: c.decodes}}
		if got := b.aside(g, s, asideInner); got != c.want {
			t.Errorf("%+v: %d bytes aside", c, got)
		}
	}
}

// Blocks of attention stand three to a multiprocessor where that is enough.
func TestAttendRoom(t *testing.T) {
	g := clusteredGPU()
	spec := graph.Block{Heads: 20, KVHeads: 5, KeyDim: 128, ValueDim: 128}
	short := spec
	short.KeyDim = 64
	for _, c := range []struct {
		spec            *graph.Block
		rows, n, shared int
		want            int
	}{
		{&spec, 16, 4, 20 << 10, asideAttention}, {&spec, 17, 4, 20 << 10, 20 << 10}, {&spec, 8, 8, 20 << 10, asideAttention},
		{&spec, 8, 8, 70 << 10, 70 << 10}, {&spec, 32, 2, 20 << 10, asideAttention}, {&short, 8, 8, 20 << 10, 20 << 10},
	} {
		b, k := &block{spec: *c.spec}, &clusterKernel{n: c.n, shared: c.shared}
		if got := b.attendRoom(g, k, c.rows); got != c.want {
			t.Errorf("%d rows, clusters of %d: %d bytes, want %d", c.rows, c.n, got, c.want)
		}
	}
}
