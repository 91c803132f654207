//go:build cuda

package cuda

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/graph"
)

// spanRig is the blocks of a model twice on one GPU, for the same steps.
type spanRig struct {
	g     *gpu
	m     *graph.Model
	parts [2]*blocks // the second one runs kernel by kernel
	kv    device.KV
}

// newSpanRig takes the model that TRITFLOW_BENCH_MODEL names, or the one in the program.
func newSpanRig(t testing.TB, kv device.KV) *spanRig {
	t.Helper()
	g := openGPU(t).(*gpu)
	t.Cleanup(func() { g.Close() })
	r := &spanRig{g: g, m: gpuModel(t), kv: kv}
	for i := range r.parts {
		part, err := g.LoadBlocks(context.Background(), r.m.Blocks, kv)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { part.Close() })
		r.parts[i] = part.(*blocks)
	}
	if r.parts[0].spans == nil {
		t.Skip("this GPU runs these blocks kernel by kernel")
	}
	r.parts[1].spans = nil
	return r
}

// step runs a step of single rows at the given positions through both parts.
func (r *spanRig) step(t testing.TB, positions []int, x []float32) [2][]float32 {
	t.Helper()
	b := r.batch(positions, func(seq, page int) int { return seq + page*len(positions) })
	var out [2][]float32
	for i, p := range r.parts {
		out[i] = r.forward(t, p, b, x)
	}
	return out
}

// batch is a row of each of several sequences; page says which of the pages holds a page of one.
func (r *spanRig) batch(positions []int, page func(seq, page int) int) *device.Batch {
	b := &device.Batch{}
	for s, pos := range positions {
		pages := make([]int32, pos/r.kv.PageSize+1)
		for j := range pages {
			pages[j] = int32(page(s, j))
		}
		b.Rows = append(b.Rows, device.Row{Seq: int32(s), Pos: int32(pos)})
		b.Seqs = append(b.Seqs, device.Seq{ID: uint64(s), First: s, N: 1, Pages: pages})
	}
	return b
}

// forward runs a step through one part.
func (r *spanRig) forward(t testing.TB, p *blocks, b *device.Batch, x []float32) []float32 {
	t.Helper()
	h, err := r.g.newHidden(len(b.Rows), p.hidden)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.g.queue.do(func() error { return h.fill(x) }); err != nil {
		t.Fatal(err)
	}
	res, err := p.Forward(context.Background(), b, h, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Release()
	out := make([]float32, len(x))
	if err := res.Host(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// fill gives activations their values, all rows fine. On the queue.
func (h *hidden) fill(x []float32) error {
	if err := h.g.ctx.CopyIn(h.values(), bytesOf(x)); err != nil {
		return err
	}
	return h.g.ctx.Fill(h.bad(), 0xff, int64(4*h.rows))
}

// One kernel for all blocks gives the bits of a kernel for each thing, and leaves the same keys
// and values, at any position: up to some hundreds a CTA has one chunk of attention, then several.
// Steps of one row and of a few take turns, as they leave words to each other.
func TestSpanGivesTheSameBits(t *testing.T) { eachKept(t, spanGivesTheSameBits) }

func spanGivesTheSameBits(t *testing.T, typ string) {
	kv := device.KV{Type: typ, PageSize: 32, Pages: 192}
	r := newSpanRig(t, kv)
	rng := rand.New(rand.NewPCG(1, 2))
	cases := [][]int{{0, 0}, {1, 0, 5, 2}, {63, 64, 65}}
	for _, at := range []int{0, 1, 2, 5, 31, 32, 33, 62, 63, 64, 65, 127, 128, 129, 200, 511, 512, 700, 1663, 1664, 2100, 6000, 3, 4} {
		cases = append(cases, []int{at})
	}
	cases = append(cases, []int{511, 512}, []int{511, 511, 511, 511}, []int{3, 700, 128}, []int{1535, 1, 1000, 1300}, []int{2047, 2000, 31}, []int{3071, 3000}, []int{9, 9, 9, 9}, []int{1, 2, 3})
	for i, at := range cases {
		x := make([]float32, len(at)*r.m.Blocks[0].Hidden)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		if i == 9 || len(at) == 3 && at[0] == 3 {
			x[len(x)-1] = float32(math.Inf(1))
		}
		out := r.step(t, at, x)
		for i := range out[0] {
			if math.Float32bits(out[0][i]) != math.Float32bits(out[1][i]) {
				t.Fatalf("positions %d: value %d is %v and %v", at, i, out[0][i], out[1][i])
			}
		}
	}
	pages := func(p *blocks, b int) []byte {
		c := p.list[b].cache
		_, keys, values, err := r.g.keeps(&p.list[b].spec, kv)
		if err != nil {
			t.Fatal(err)
		}
		all := make([]byte, keys+values)
		if err := r.g.queue.do(func() error {
			if err := r.g.ctx.CopyOut(all[:keys], c.k); err != nil {
				return err
			}
			return r.g.ctx.CopyOut(all[keys:], c.v)
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	for b := range r.m.Blocks {
		if !bytes.Equal(pages(r.parts[0], b), pages(r.parts[1], b)) {
			t.Fatalf("keys or values of block %d differ", b)
		}
	}
}

// BenchmarkSpan times all blocks for steps of a few rows at 512 positions, both ways.
func BenchmarkSpan(b *testing.B) {
	const positions, pages = 512, 512 / 32
	r := newSpanRig(b, device.KV{Type: benchKV(), PageSize: 32, Pages: pages * fewSpanMost})
	for rows := 1; rows <= fewSpanMost; rows++ {
		batch := r.batch(slices.Repeat([]int{positions - 1}, rows), func(seq, page int) int { return seq*pages + page })
		for i, p := range r.parts {
			b.Run(fmt.Sprintf("rows=%d/%s", rows, []string{"span", "kernels"}[i]), func(b *testing.B) {
				h, err := r.g.newHidden(rows, p.hidden)
				if err != nil {
					b.Fatal(err)
				}
				defer h.Release()
				t := newTables(batch, 32)
				if err := r.g.queue.do(func() error { return p.times(b, t, h) }); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// times reports how long a block takes. On the queue.
func (p *blocks) times(b *testing.B, t *tables, h *hidden) error {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, h.rows*h.width)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	if err := h.fill(x); err != nil {
		return err
	}
	return p.perBlock(b, func() error { return p.run(t, h) })
}
