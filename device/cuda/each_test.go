//go:build cuda

package cuda

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"tritflow/device"
	"tritflow/device/cuda/driver"
	"tritflow/graph"
)

// attended is attention of rows at random positions: a block that has only that, pages of random
// keys and values, what the projections gave.
type attended struct {
	g     *gpu
	b     *block
	s     *step
	pages [2][]uint16 // keys and values, as they were
	qkv   []float32
}

// newAttended makes one. Places that no row has reached hold NaN.
func newAttended(g *gpu, h *holding, spec *graph.Block, pageSize int, positions []int, rng *rand.Rand) (*attended, error) {
	a := &attended{g: g, b: &block{spec: *spec}}
	batch, all := &device.Batch{}, 0
	for i, pos := range positions {
		batch.Rows = append(batch.Rows, device.Row{Seq: int32(i), Pos: int32(pos)})
		batch.Seqs = append(batch.Seqs, device.Seq{ID: uint64(i), First: i, N: 1, Pages: make([]int32, pos/pageSize+1)})
		all += pos/pageSize + 1
	}
	order := rng.Perm(all)
	whose := make([][2]int, all) // the row of a page, and its first position
	for i := range batch.Seqs {
		for j := range batch.Seqs[i].Pages {
			page := order[0]
			order = order[1:]
			batch.Seqs[i].Pages[j], whose[page] = int32(page), [2]int{i, j * pageSize}
		}
	}
	dim := spec.KeyDim
	for i := range a.pages {
		a.pages[i] = make([]uint16, all*pageSize*spec.KVHeads*dim)
		for at := range a.pages[i] {
			page, in := at/(pageSize*spec.KVHeads*dim), at%(pageSize*dim)
			slot := in / dim
			if i == 1 {
				slot = in % pageSize
			}
			a.pages[i][at] = uint16(rng.Uint32()) &^ 0x4000 // below 2
			if w := whose[page]; w[1]+slot >= positions[w[0]] {
				a.pages[i][at] = 0x7fff
			}
		}
	}
	queries, keys, values := widths(spec)
	a.qkv = make([]float32, len(positions)*(queries+keys+values))
	for i := range a.qkv {
		a.qkv[i] = float32(rng.NormFloat64())
	}
	var err error
	if a.b.cache, err = h.cache(spec, device.KV{Type: "f16", PageSize: pageSize, Pages: all}); err != nil {
		return nil, err
	}
	if spec.Rope.Kind != graph.RopeNone {
		if a.b.turn, err = h.angles(spec.Rope); err != nil {
			return nil, err
		}
	}
	a.s = &step{tables: newTables(batch, pageSize)}
	var sizes scratchSizes
	sizes.fit(spec, false, false)
	if a.s.at, err = g.upload(a.s.tables); err == nil {
		a.s.space, err = sizes.place(g, a.s.tables)
	}
	return a, err
}

// run computes attention and gives its rows, and the pages after it.
func (a *attended) run() (rows []float32, pages [2][]uint16, err error) {
	g, c, spec := a.g, &a.b.cache, &a.b.spec
	rows = make([]float32, a.s.tables.rows*spec.Heads*spec.ValueDim)
	for i, at := range [2]driver.Ptr{c.k, c.v} {
		pages[i] = make([]uint16, len(a.pages[i]))
		if err := g.ctx.CopyIn(at, bytesOf(a.pages[i])); err != nil {
			return nil, pages, err
		}
	}
	if err := g.ctx.CopyIn(a.s.space.qkv, bytesOf(a.qkv)); err != nil {
		return nil, pages, err
	}
	if err := g.ctx.Fill(a.s.space.att, 0xff, int64(4*len(rows))); err != nil {
		return nil, pages, err
	}
	if err := g.ctx.Synchronize(); err != nil {
		return nil, pages, err
	}
	if err := g.attend(a.b, a.s); err != nil {
		return nil, pages, err
	}
	if err := g.stream.Synchronize(); err != nil {
		return nil, pages, err
	}
	for i, at := range [2]driver.Ptr{c.k, c.v} {
		if err := g.ctx.CopyOut(bytesOf(pages[i]), at); err != nil {
			return nil, pages, err
		}
	}
	return rows, pages, g.ctx.CopyOut(bytesOf(rows), a.s.space.att)
}

// A block for all positions of a KV head gives the bits of blocks for a chunk each, and leaves the same
// keys and values, with more chunks than it has stages, at any place of a page and of a chunk.
func TestGPUAttentionApart(t *testing.T) {
	g := openGPU(t).(*gpu)
	defer g.Close()
	if !g.kern.exact {
		t.Skip("kernels/decode_each.cu is for capability 9.0")
	}
	rng := rand.New(rand.NewPCG(11, 12))
	for _, c := range []struct {
		kvHeads, group, dim, pageSize, dims int
		kind                                graph.RopeKind
	}{
		{5, 4, 128, 32, 128, graph.RopeNeoX}, {4, 16, 64, 16, 64, graph.RopeNormal}, {3, 1, 128, 64, 64, graph.RopeNeoX},
		{6, 9, 128, 32, 128, graph.RopeNeoX}, {8, 8, 64, 32, 0, graph.RopeNone}, {16, 3, 64, 64, 32, graph.RopeNormal},
	} {
		t.Run(fmt.Sprintf("%dx%d/%d/%d", c.kvHeads, c.group, c.dim, c.pageSize), func(t *testing.T) {
			spec := &graph.Block{Heads: c.kvHeads * c.group, KVHeads: c.kvHeads, KeyDim: c.dim, ValueDim: c.dim, AttnScale: float32(1 / math.Sqrt(float64(c.dim))),
				Rope: graph.Rope{Kind: c.kind, Dims: c.dims, Base: 10000, Scale: 1}}
			positions := []int{0, 1, 7, 8, 15, 16, 31, 32, 62, 63, 64, 65, 80, 127, 128, 129, 191, 192, 500, 511, 512, 513}
			for len(positions) < 64 {
				positions = append(positions, rng.IntN(900))
			}
			h := &holding{g: g}
			err := g.queue.do(func() error {
				defer h.release()
				a, err := newAttended(g, h, spec, c.pageSize, positions, rng)
				if err != nil {
					return err
				}
				if !a.b.apart(g, a.s) {
					return fmt.Errorf("%d rows are not computed apart", len(positions))
				}
				got, pages, err := a.run()
				if err != nil {
					return err
				}
				a.s.tables.decodeAll = false
				want, wantPages, err := a.run()
				if err != nil {
					return err
				}
				for i, v := range want {
					if math.Float32bits(v) != math.Float32bits(got[i]) || math.IsNaN(float64(v)) {
						return fmt.Errorf("position %d, value %d: %v, in chunks %v", positions[i/(spec.Heads*c.dim)], i%(spec.Heads*c.dim), got[i], v)
					}
				}
				for i := range pages {
					if !bytes.Equal(bytesOf(pages[i]), bytesOf(wantPages[i])) {
						return fmt.Errorf("other pages are left")
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
