//go:build cuda

package cuda

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"tritflow/device"
)

// A row among 64 has the bits that it has alone, although other kernels compute it.
func TestAloneAndAmong64(t *testing.T) {
	const seqs, steps, perSeq = 64, 70, 3
	kv := device.KV{Type: "f16", PageSize: 32, Pages: seqs * perSeq}
	r := newSpanRig(t, kv)
	alone := r.parts[0]
	among := r.parts[1] // kernel by kernel: 64 rows are too many for a span anyway
	rng := rand.New(rand.NewPCG(3, 4))
	width := r.m.Blocks[0].Hidden
	for pos := range steps {
		x := make([]float32, seqs*width)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		all := r.rows(t, among, 0, seqs, pos, perSeq, x)
		for s := range seqs {
			one := r.rows(t, alone, s, 1, pos, perSeq, x[s*width:][:width])
			if !bytes.Equal(bytesOf(one), bytesOf(all[s*width:][:width])) {
				t.Fatalf("position %d: row %d differs", pos, s)
			}
		}
	}
}

// rows runs a step of n sequences, from the first one on, at one position.
func (r *spanRig) rows(t *testing.T, p *blocks, first, n, pos, perSeq int, x []float32) []float32 {
	t.Helper()
	b := &device.Batch{}
	for i := range n {
		pages := make([]int32, pos/r.kv.PageSize+1)
		for j := range pages {
			pages[j] = int32((first+i)*perSeq + j)
		}
		b.Rows = append(b.Rows, device.Row{Seq: int32(i), Pos: int32(pos)})
		b.Seqs = append(b.Seqs, device.Seq{ID: uint64(i), First: i, N: 1, Pages: pages})
	}
	h, err := r.g.newHidden(n, p.hidden)
	if err != nil {
		t.Fatal(err)
	}
	err = r.g.queue.do(func() error {
		if err := r.g.ctx.CopyIn(h.values(), bytesOf(x)); err != nil {
			return err
		}
		return r.g.ctx.Fill(h.bad(), 0xff, int64(4*n))
	})
	if err != nil {
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
