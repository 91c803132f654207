//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/graph"
	"tritflow/quantkern"
)

// attendRig is one block's attention with pages full of random keys and values, and a step of rows that decode.
type attendRig struct {
	g    *gpu
	b    *block
	s    *step
	k    *attention
	held holding
}

// newAttendRig gives every row a sequence of its own that ends at a position. On the queue.
func newAttendRig(g *gpu, rng *rand.Rand, spec graph.Block, pageSize int, ends []int) (*attendRig, error) {
	pages := 0
	for _, end := range ends {
		pages += end/pageSize + 1
	}
	order := rng.Perm(pages)
	batch := &device.Batch{}
	for i, end := range ends {
		n := end/pageSize + 1
		seq := device.Seq{ID: uint64(i), First: i, N: 1}
		for _, p := range order[:n] {
			seq.Pages = append(seq.Pages, int32(p))
		}
		order = order[n:]
		batch.Rows = append(batch.Rows, device.Row{Seq: int32(i), Pos: int32(end)})
		batch.Seqs = append(batch.Seqs, seq)
	}
	r := &attendRig{g: g, b: &block{spec: spec}, k: g.kern.attention(spec.KeyDim), held: holding{g: g}}
	var err error
	if r.b.cache, err = r.held.cache(&spec, device.KV{Type: "f16", PageSize: pageSize, Pages: pages}); err != nil {
		return nil, err
	}
	if r.b.turn, err = r.held.angles(spec.Rope); err != nil {
		return nil, err
	}
	if err := r.b.turn.reach(slices.Max(ends) + 1); err != nil {
		return nil, err
	}
	halves := make([]uint16, pages*pageSize*spec.KVHeads*spec.KeyDim)
	for _, to := range []driver.Ptr{r.b.cache.k, r.b.cache.v} {
		for i := range halves {
			halves[i] = quantkern.F32ToF16(float32(rng.NormFloat64()))
		}
		if err := g.ctx.CopyIn(to, bytesOf(halves)); err != nil {
			return nil, err
		}
	}
	r.s = &step{tables: newTables(batch, pageSize)}
	if r.s.at, err = g.upload(r.s.tables); err != nil {
		return nil, err
	}
	var sizes scratchSizes
	sizes.fit(&spec, false, false)
	if r.s.space, err = sizes.place(g, r.s.tables); err != nil {
		return nil, err
	}
	queries, keys, values := widths(&spec)
	qkv := make([]float32, len(ends)*(queries+keys+values))
	for i := range qkv {
		qkv[i] = float32(rng.NormFloat64())
	}
	return r, g.ctx.CopyIn(r.s.space.qkv, bytesOf(qkv))
}

// run is what one of the ways makes of all rows. On the queue.
func (r *attendRig) run(way func(cos, sin driver.Ptr) error) ([]float32, error) {
	out := make([]float32, r.s.tables.rows*r.b.spec.Heads*r.b.spec.ValueDim)
	if err := r.g.ctx.Fill(r.s.space.att, 0xff, int64(4*len(out))); err != nil {
		return nil, err
	}
	if err := way(r.b.turn.cos.ptr, r.b.turn.sin.ptr); err != nil {
		return nil, err
	}
	if err := r.g.stream.Synchronize(); err != nil {
		return nil, err
	}
	return out, r.g.ctx.CopyOut(bytesOf(out), r.s.space.att)
}

// Every way in which decoding rows attend gives the same bits: a kernel for chunks of positions and one that folds
// them, clusters of every size, and a block for all positions of a KV head.
func TestGPUAttentionWays(t *testing.T) {
	if err := driver.Available(); err != nil {
		t.Skip("needs an NVIDIA GPU: ", err)
	}
	g := openGPU(t).(*gpu)
	t.Cleanup(func() { g.Close() })
	if !g.kern.exact {
		t.Skip("clusters are for capability 9.0")
	}
	ends := []int{0, 1, 63, 64, 65, 127, 200, 255, 256, 511, 512, 513, 575, 576, 700, 1023, 1024, 1025, 1300, 1535, 1536, 2047, 2048, 2100, 31, 448}
	rng := rand.New(rand.NewPCG(11, 12))
	for _, c := range []struct{ heads, kvHeads, dim, pageSize int }{{20, 5, 128, 32}, {9, 3, 64, 16}, {48, 16, 64, 64}, {54, 6, 128, 32}, {16, 1, 64, 48}, {2, 2, 128, 16}, {14, 2, 64, 32}, {35, 5, 128, 16}} {
		t.Run(fmt.Sprintf("%d heads, %d KV heads of %d, pages of %d", c.heads, c.kvHeads, c.dim, c.pageSize), func(t *testing.T) {
			spec := graph.Block{Heads: c.heads, KVHeads: c.kvHeads, KeyDim: c.dim, ValueDim: c.dim, Hidden: c.heads * c.dim, FFN: 64, AttnScale: 0.1,
				Rope: graph.Rope{Kind: graph.RopeNeoX, Dims: c.dim, Base: 10000, Scale: 1}}
			err := g.queue.do(func() error {
				r, err := newAttendRig(g, rng, spec, c.pageSize, ends)
				if err != nil {
					return err
				}
				defer r.held.release()
				r.s.tables.decodeAll = false // which is not for kernels that take rows as the projections leave them
				want, err := r.run(func(_, _ driver.Ptr) error { return g.attend(r.b, r.s) })
				if err != nil {
					return err
				}
				for i, v := range want {
					if v != v || v > 100 || v < -100 {
						return fmt.Errorf("value %d by chunks is %v", i, v)
					}
				}
				ways := map[string]func(cos, sin driver.Ptr) error{
					"a block for all": func(cos, sin driver.Ptr) error { return g.attendApart(r.b, r.s, r.k, cos, sin) },
				}
				for _, kn := range r.k.clusters[clusterClass(c.heads/c.kvHeads)] {
					ways[kn.f.Name()] = func(cos, sin driver.Ptr) error { return g.attendClusters(r.b, r.s, kn, cos, sin) }
				}
				for name, way := range ways {
					for again := range 20 {
						got, err := r.run(way)
						if err != nil {
							return err
						}
						wrong, first := 0, 0
						for i := range got {
							if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
								if wrong++; wrong == 1 {
									first = i
								}
							}
						}
						if wrong > 0 {
							row, in := first/(c.heads*c.dim), first%(c.heads*c.dim)
							t.Errorf("%s, run %d: %d values differ, first head %d, dimension %d of the row that ends at %d: %v, want %v",
								name, again, wrong, in/c.dim, in%c.dim, ends[row], got[first], want[first])
							break
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
