//go:build cuda

package cuda

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tritflow/device"
)

// BenchmarkBlock times the kernels of a transformer block as they run in a captured step: a
// token each of several sequences with 512 positions. TRITFLOW_BENCH_MODEL names a model
// file, TRITFLOW_BENCH_KV how keys and values are kept; "serial" is without kernels that start while the one before them ends.
//
//	TRITFLOW_BENCH_MODEL=2b4t.gguf go test -tags cuda -run '^$' -bench Block -benchtime 50x ./device/cuda
func BenchmarkBlock(b *testing.B) {
	m := benchModel(b)
	g := openGPU(b).(*gpu)
	defer g.Close()
	const pageSize, positions = 32, 512
	part, err := g.LoadBlocks(context.Background(), m.Blocks, device.KV{Type: benchKV(), PageSize: pageSize, Pages: slices.Max(benchRows()) * positions / pageSize})
	if err != nil {
		b.Fatal(err)
	}
	defer part.Close()
	p := part.(*blocks)
	for _, rows := range benchRows() {
		batch := &device.Batch{}
		for i := range rows {
			pages := make([]int32, positions/pageSize)
			for j := range pages {
				pages[j] = int32(i*len(pages) + j)
			}
			batch.Rows = append(batch.Rows, device.Row{Seq: int32(i), Pos: positions - 1})
			batch.Seqs = append(batch.Seqs, device.Seq{ID: uint64(i), First: i, N: 1, Pages: pages})
		}
		h, err := g.newHidden(rows, p.hidden)
		if err != nil {
			b.Fatal(err)
		}
		s := &step{tables: newTables(batch, pageSize), h: h}
		err = g.queue.do(func() (err error) {
			if err := g.ctx.Fill(h.values(), 0, int64(4*rows*p.hidden)); err != nil {
				return err
			}
			if s.at, err = g.upload(s.tables); err == nil {
				s.space, err = p.sizes.place(g, s.tables)
			}
			if err == nil {
				err = g.forward(p.list[0], s, false)
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		for name, work := range p.parts(g, s) {
			for _, serial := range []bool{false, true} {
				how := map[bool]string{false: "", true: "/serial"}[serial]
				b.Run(fmt.Sprintf("rows=%d/%s%s", rows, name, how), func(b *testing.B) {
					for _, list := range g.kern.named() {
						for _, kn := range list {
							kn.dependent = !serial
						}
					}
					p.time(b, work)
				})
			}
		}
		h.Release()
	}
}

// BenchmarkHead times the head for the likeliest tokens of so many rows, what the GPU works
// for it and what a caller waits for it.
func BenchmarkHead(b *testing.B) {
	m := benchModel(b)
	g := openGPU(b)
	defer g.Close()
	ctx := context.Background()
	emb, err := g.LoadEmbed(ctx, &m.Embed)
	if err != nil {
		b.Fatal(err)
	}
	defer emb.Close()
	h, err := g.LoadHead(ctx, &m.Head)
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	for _, rows := range []int{1, 4, 16, 64} {
		batch := &device.Batch{}
		for i := range rows {
			batch.Rows = append(batch.Rows, device.Row{Seq: int32(i), Token: int32(1000 + 977*i)})
			batch.Seqs = append(batch.Seqs, device.Seq{ID: uint64(i), First: i, N: 1})
			batch.Outputs = append(batch.Outputs, device.Output{Row: int32(i), TopK: 1})
		}
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			var worked time.Duration
			for b.Loop() {
				x, err := emb.Forward(ctx, batch, nil)
				if err != nil {
					b.Fatal(err)
				}
				l, err := h.Forward(ctx, batch, x, func(start, end time.Time) { worked += end.Sub(start) })
				if err != nil {
					b.Fatal(err)
				}
				l.Release()
			}
			b.ReportMetric(float64(worked.Microseconds())/float64(b.N), "us/head")
		})
	}
}

// benchKV is how TRITFLOW_BENCH_KV says that keys and values are kept, or f16.
func benchKV() string { return cmp.Or(os.Getenv("TRITFLOW_BENCH_KV"), "f16") }

// benchRows are the rows that TRITFLOW_BENCH_ROWS lists, or a few.
func benchRows() []int { return benchNumbers("TRITFLOW_BENCH_ROWS", 512, 1, 4, 16, 32, 64) }

// benchNumbers are those up to a largest one that a variable lists, or some.
func benchNumbers(variable string, most int, list ...int) []int {
	if text := os.Getenv(variable); text != "" {
		list = nil
		for _, s := range strings.Split(text, ",") {
			if n, err := strconv.Atoi(s); err == nil && n > 0 && n <= most {
				list = append(list, n)
			}
		}
	}
	return list
}

// parts are the pieces of a block, and the whole.
func (p *blocks) parts(g *gpu, s *step) map[string]func(b *block) error {
	n, sp, x := s.tables.rows, &s.space, s.h.values()
	spec := &p.list[0].spec
	queries, keys, values := widths(spec)
	sum := result{dst: x, ld: spec.Hidden, epilogue: residual, bad: s.h.bad(), stage: 1}
	return map[string]func(b *block) error{
		"qkv": func(b *block) error {
			return g.enter(b.qkv, sp, x, spec.Hidden, n, b.attnNorm, true, result{dst: sp.qkv, ld: queries + keys + values})
		},
		"attend": func(b *block) error { return g.attend(b, s) },
		"output": func(b *block) error {
			return g.mul(b.o, input{rows: n, cols: spec.Heads * spec.ValueDim, q: sp.q, s: sp.s, sum: sp.sum}, sum)
		},
		"gate": func(b *block) error { return g.gate(b, s) },
		"down": func(b *block) error { return g.enter(b.down, sp, sp.gate, spec.FFN, n, b.ffnSub, true, sum) },
		"norm": func(b *block) error { _, err := g.feed(b.qkv, sp, x, spec.Hidden, n, b.attnNorm, true); return err },
		"subnorm": func(b *block) error {
			_, err := g.feed(b.down, sp, sp.gate, spec.FFN, n, b.ffnSub, true)
			return err
		},
		"whole": func(b *block) error { return g.forward(b, s, true) },
	}
}

// time reports how long a piece takes for one block.
func (p *blocks) time(b *testing.B, work func(b *block) error) {
	g := p.g
	err := g.queue.do(func() error {
		if err := g.stream.BeginCapture(); err != nil {
			return err
		}
		var werr error
		for _, blk := range p.list {
			if werr = work(blk); werr != nil {
				break
			}
		}
		gr, err := g.stream.EndCapture()
		if werr != nil || err != nil {
			return fmt.Errorf("%w, %w", werr, err)
		}
		defer gr.Destroy()
		e, err := gr.Instantiate()
		if err != nil {
			return err
		}
		defer e.Destroy()
		return p.perBlock(b, func() error { return e.Launch(g.stream) })
	})
	if err != nil {
		b.Fatal(err)
	}
}

// perBlock reports how long what launch puts into the stream takes for one block. On the queue.
func (p *blocks) perBlock(b *testing.B, launch func() error) error {
	g := p.g
	start, err := g.event()
	if err != nil {
		return err
	}
	end, err := g.event()
	if err != nil {
		return err
	}
	for range 3 {
		if err := launch(); err != nil {
			return err
		}
	}
	if err := start.Record(g.stream); err != nil {
		return err
	}
	for b.Loop() {
		if err := launch(); err != nil {
			return err
		}
	}
	if err := end.Record(g.stream); err != nil {
		return err
	}
	if err := g.stream.Synchronize(); err != nil {
		return err
	}
	t, err := end.Since(start)
	b.ReportMetric(t*1e6/float64(b.N*len(p.list)), "us/block")
	b.ReportMetric(0, "ns/op")
	return err
}
