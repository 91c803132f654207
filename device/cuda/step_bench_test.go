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

// stepsEach is how many steps a sequence takes from where TRITFLOW_BENCH_POSITIONS says.
const stepsEach = 64

// BenchmarkStep times whole greedy decode steps, at 512 positions on average or from those that TRITFLOW_BENCH_POSITIONS lists on, the
// step after begun early as an engine's are: tokens a second of one and more sequences together. TRITFLOW_BENCH_MODEL names a model file.
//
//	TRITFLOW_BENCH_MODEL=2b4t.gguf go test -tags cuda -run '^$' -bench Step -benchtime 640x ./device/cuda
func BenchmarkStep(b *testing.B) {
	m := benchModel(b)
	g := openGPU(b).(*gpu)
	defer g.Close()
	const pageSize = 32
	firsts := benchNumbers("TRITFLOW_BENCH_POSITIONS", 4096, 512-stepsEach/2)
	each := ceilDiv(slices.Max(firsts)+stepsEach, pageSize)
	parts, err := devtest.Load(context.Background(), m, device.KV{Type: benchKV(), PageSize: pageSize, Pages: slices.Max(benchRows()) * each}, g)
	if err != nil {
		b.Fatal(err)
	}
	defer devtest.Close(parts)
	ids := uint64(0)
	for _, first := range firsts {
		for _, rows := range benchRows() {
			b.Run(fmt.Sprintf("rows=%d/from=%d", rows, first), func(b *testing.B) {
				chunks := make([]devtest.Chunk, rows)
				for at := 0; b.Loop(); at++ {
					if at%stepsEach == 0 {
						for i := range chunks {
							ids++
							chunks[i] = devtest.Chunk{ID: ids, Pages: make([]int32, each), Pos: first, Tokens: []int32{int32(1000 + 977*i)}}
							for j := range each {
								chunks[i].Pages[j] = int32(i*each + j)
							}
						}
					}
					takeStep(b, parts, chunks, at%stepsEach != stepsEach-1)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "us/step")
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "tok/s")
			})
		}
	}
}

// takeStep brings every sequence one greedy token further; next says that another step follows.
func takeStep(b *testing.B, parts []devtest.Part, chunks []devtest.Chunk, next bool) {
	batch := devtest.NewBatch(device.Output{TopK: 1}, chunks...)
	batch.Next = next
	l, err := devtest.Forward(b.Context(), parts, batch)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Release()
	for i := range chunks {
		s, err := l.Row(i)
		if err != nil {
			b.Fatal(err)
		}
		chunks[i].Pos++
		chunks[i].Tokens[0] = s.Top[0].ID
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
