package bench

import (
	"os"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tritflow/stages"
	"tritflow/stages/profile"
)

// BenchmarkArrangements compares what can be done with two cores: one device of
// both, a pipeline of two with and without overlap, and two replicas. The file
// is named by TRITFLOW_BENCH_MODEL; without it the model inside the program is
// taken. Run it with -benchtime 1x.
func BenchmarkArrangements(b *testing.B) {
	for _, load := range []struct {
		name             string
		requests, prompt int
		tokens           int
	}{
		{"prefill", 16, 200, 2},
		{"answers", 32, 16, 32},
		{"mixed", 32, 100, 24},
	} {
		for _, a := range []struct {
			name string
			opt  stages.Options
		}{
			{"cpu=2", stages.Options{Devices: "cpu:2"}},
			{"unpipelined", stages.Options{Devices: "cpu:1,cpu:1", Waves: 1}},
			{"pipelined", stages.Options{Devices: "cpu:1,cpu:1"}},
			{"replicas", stages.Options{Devices: "cpu:1,cpu:1", Replicas: 2}},
		} {
			b.Run(load.name+"/"+a.name, func(b *testing.B) {
				o := a.opt
				o.Log, o.Ctx, o.MaxSeqs, o.NoPrefixCache = zerolog.Nop(), 256, 32/max(o.Replicas, 1), true
				if o.Replicas == 0 {
					s, err := profile.UserStore()
					if err != nil {
						b.Fatal(err)
					}
					o.Profiles = &s
				}
				e, err := stages.Open(b.Context(), os.Getenv("TRITFLOW_BENCH_MODEL"), o)
				if err != nil {
					b.Fatal(err)
				}
				defer func() {
					if err := e.Close(); err != nil {
						b.Error(err)
					}
				}()
				run := func(requests, tokens int) {
					var group errgroup.Group
					for i := range requests {
						ids := make([]int32, load.prompt)
						for j := range ids {
							ids[j] = int32((i*31+j*7)%500 + 1)
						}
						s, err := e.Submit(b.Context(), stages.Request{Tokens: ids, MaxTokens: tokens, IgnoreEOS: true})
						if err != nil {
							b.Fatal(err)
						}
						group.Go(s.Err)
					}
					if err := group.Wait(); err != nil {
						b.Fatal(err)
					}
				}
				run(2, 1)
				if err := settled(b.Context(), e.Devices()); err != nil {
					b.Fatal(err)
				}
				before := e.Stats()
				for b.Loop() {
					run(load.requests, load.tokens)
				}
				d := stages.Since(before, e.Stats())
				b.ReportMetric(float64(d.Rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(d.Tokens)/b.Elapsed().Seconds(), "tok/s")
			})
		}
	}
}
