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
)

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
	type shape struct{ heads, kvHeads, dim, pageSize int }
	test := func(t *testing.T, kv string, c shape) {
		spec := graph.Block{Heads: c.heads, KVHeads: c.kvHeads, KeyDim: c.dim, ValueDim: c.dim, Hidden: c.heads * c.dim, FFN: 64, AttnScale: 0.1,
			Rope: graph.Rope{Kind: graph.RopeNeoX, Dims: c.dim, Base: 10000, Scale: 1}}
		err := g.queue.do(func() error {
			batch, pages := decoding(rng, c.pageSize, ends)
			r, err := newAttendRig(g, rng, spec, kv, c.pageSize, batch, pages)
			if err != nil {
				return err
			}
			defer r.held.release()
			r.s.tables.decodeAll = false // which is not for kernels that take rows as the projections leave them
			want, err := r.run(func(_, _ driver.Ptr) error { return g.attend(r.b, r.s) })
			if err != nil {
				return err
			}
			if err := r.near(want); err != nil {
				return fmt.Errorf("by chunks: %w", err)
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
	}
	for _, c := range []shape{{20, 5, 128, 32}, {9, 3, 64, 16}, {48, 16, 64, 64}, {54, 6, 128, 32}, {16, 1, 64, 48}, {2, 2, 128, 16}, {14, 2, 64, 32}, {35, 5, 128, 16}} {
		for _, kv := range []string{"f16", "q8_0"} {
			t.Run(fmt.Sprintf("%s, %d heads, %d KV heads of %d, pages of %d", kv, c.heads, c.kvHeads, c.dim, c.pageSize), func(t *testing.T) { test(t, kv, c) })
		}
	}
}

// A prompt's rows get the bits that each gets in a step of its own, as decoding does it.
func TestGPUAttentionOfPrompts(t *testing.T) {
	g := openGPU(t).(*gpu)
	t.Cleanup(func() { g.Close() })
	rng := rand.New(rand.NewPCG(13, 14))
	const rows = 150
	for _, c := range []struct{ heads, kvHeads, dim, pageSize int }{{20, 5, 128, 32}, {9, 3, 64, 16}, {54, 6, 128, 48}, {14, 1, 64, 64}} {
		for _, kv := range []string{"f16", "q8_0", "f32"} {
			t.Run(fmt.Sprintf("%s, %d heads, %d KV heads of %d", kv, c.heads, c.kvHeads, c.dim), func(t *testing.T) {
				spec := graph.Block{Heads: c.heads, KVHeads: c.kvHeads, KeyDim: c.dim, ValueDim: c.dim, Hidden: c.heads * c.dim, FFN: 64, AttnScale: 0.1,
					Rope: graph.Rope{Kind: graph.RopeNormal, Dims: c.dim, Base: 10000, Scale: 1}}
				one, pages := decoding(rng, c.pageSize, []int{rows - 1})
				prompt := &device.Batch{Seqs: slices.Clone(one.Seqs)}
				for i := range rows {
					prompt.Rows = append(prompt.Rows, device.Row{Pos: int32(i)})
				}
				prompt.Seqs[0].N = rows
				err := g.queue.do(func() error {
					r, err := newAttendRig(g, rng, spec, kv, c.pageSize, prompt, pages)
					if err != nil {
						return err
					}
					defer r.held.release()
					way := func(_, _ driver.Ptr) error { return g.attend(r.b, r.s) }
					all, err := r.run(way)
					if err != nil {
						return err
					}
					for i := range rows {
						one.Rows[0].Pos = int32(i)
						if err := r.begin(one, i); err != nil {
							return err
						}
						alone, err := r.run(way)
						if err != nil {
							return err
						}
						if got := all[i*len(alone):][:len(alone)]; !slices.Equal(wordsOf(got), wordsOf(alone)) {
							return fmt.Errorf("position %d: in a prompt %v …, alone %v …", i, got[:4], alone[:4])
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
}
