//go:build cuda

package cuda

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"tritflow/device"
	"tritflow/device/devtest"
)

// BenchmarkStep times whole greedy decode steps at 512 positions on average, the step after begun early as an engine's are:
// tokens a second of one and more sequences together. TRITFLOW_BENCH_MODEL names a model file.
//
//	TRITFLOW_BENCH_MODEL=2b4t.gguf go test -tags cuda -run '^$' -bench Step -benchtime 640x ./device/cuda
func BenchmarkStep(b *testing.B) {
	m := benchModel(b)
	g := openGPU(b).(*gpu)
	defer g.Close()
	const pageSize, first, steps = 32, 480, 64
	const each = (first + steps) / pageSize
	most := slices.Max(benchRows())
	parts, err := devtest.Load(context.Background(), m, device.KV{Type: "f16", PageSize: pageSize, Pages: most * each}, g)
	if err != nil {
		b.Fatal(err)
	}
	defer devtest.Close(parts)
	ids := uint64(0)
	for _, rows := range benchRows() {
		chunks := make([]devtest.Chunk, rows)
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			for at := 0; b.Loop(); at++ {
				for i := range chunks {
					if c := &chunks[i]; at%steps == 0 {
						ids++
						*c = devtest.Chunk{ID: ids, Pages: make([]int32, each), Pos: first, Tokens: []int32{int32(1000 + 977*i)}}
						for j := range c.Pages {
							c.Pages[j] = int32(i*each + j)
						}
					}
				}
				batch := devtest.NewBatch(device.Output{TopK: 1}, chunks...)
				batch.Next = at%steps != steps-1
				l, err := devtest.Forward(b.Context(), parts, batch)
				if err != nil {
					b.Fatal(err)
				}
				for i := range chunks {
					s, err := l.Row(i)
					if err != nil {
						b.Fatal(err)
					}
					chunks[i].Pos++
					chunks[i].Tokens[0] = s.Top[0].ID
				}
				l.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "us/step")
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "tok/s")
		})
	}
}

// BenchmarkLoad times the loading of all parts of TRITFLOW_BENCH_MODEL, whose file is in the page cache after the first time.
func BenchmarkLoad(b *testing.B) {
	m := benchModel(b)
	g := openGPU(b)
	defer g.Close()
	for b.Loop() {
		parts, err := devtest.Load(context.Background(), m, device.KV{Type: "f16", PageSize: 32, Pages: 128}, g)
		if err != nil {
			b.Fatal(err)
		}
		devtest.Close(parts)
	}
}
