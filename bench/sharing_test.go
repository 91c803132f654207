package bench

import (
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tritflow/stages"
)

// BenchmarkSharedPrefix asks a question of 1,020 tokens, then 63 that begin with the
// same 1,000 at once, then one more. It reports how many rows were computed beyond those
// that no request shares, and the later one's first token beside the first one's. The
// file is named by TRITFLOW_BENCH_MODEL; without it the model inside the program is
// taken, with a shorter prefix. Run it with -benchtime 1x.
func BenchmarkSharedPrefix(b *testing.B) {
	const requests, own, answer = 64, 20, 2
	common, path := 1000, os.Getenv("TRITFLOW_BENCH_MODEL")
	if path == "" {
		common = 400
	}
	for b.Loop() {
		e, err := stages.Open(b.Context(), path, stages.Options{Log: zerolog.Nop(), Ctx: common + own + 32, MaxSeqs: 32})
		if err != nil {
			b.Fatal(err)
		}
		ask := func(i int) stages.Request {
			ids := make([]int32, common+own)
			for j := range ids {
				ids[j] = int32(j*7%500 + 1)
				if j >= common {
					ids[j] = int32((i*31+j*11)%500 + 600)
				}
			}
			return stages.Request{Tokens: ids, MaxTokens: answer, IgnoreEOS: true}
		}
		one := func(i int) stages.Result {
			s, err := e.Submit(b.Context(), ask(i))
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Err(); err != nil {
				b.Fatal(err)
			}
			return s.Result()
		}
		if _, err := stream(b.Context(), e, 1, 16, warmTokens, 0); err != nil { // pages in what is used first
			b.Fatal(err)
		}
		if err := settled(b.Context(), e.Devices()); err != nil {
			b.Fatal(err)
		}
		before, start := e.Stats(), time.Now()
		first := one(0)
		var group errgroup.Group
		for i := range requests - 1 {
			group.Go(func() error {
				s, err := e.Submit(b.Context(), ask(i+1))
				if err != nil {
					return err
				}
				return s.Err()
			})
		}
		if err := group.Wait(); err != nil {
			b.Fatal(err)
		}
		took, d := time.Since(start), stages.Since(before, e.Stats())
		later := one(requests)
		whole := common / 32 * 32 // whole pages are shared
		alone := whole + requests*(common-whole+own+answer-1)
		b.ReportMetric(float64(int(d.Rows)-alone), "rows-twice")
		b.ReportMetric(float64(d.Reused), "rows-reused")
		b.ReportMetric(took.Seconds(), "s/64")
		b.ReportMetric(1e3*first.FirstToken.Seconds(), "first-ms")
		b.ReportMetric(1e3*later.FirstToken.Seconds(), "later-ms")
		b.ReportMetric(100*later.FirstToken.Seconds()/first.FirstToken.Seconds(), "later-%")
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
