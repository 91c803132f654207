package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"tritflow/stages"
)

// modelVariable names a file for the benchmarks that say so; without it they
// use the built-in model, which is too small to tell of memory.
const modelVariable = "TRITFLOW_BENCH_MODEL"

// BenchmarkNeighbours: decode beside other processes that spin, one a core
// first, and what part of the quiet speed is left. Quiet and busy rounds take
// turns, because the machine's own speed moves. Each begins with tokens that are not
// counted, until the scheduler has placed everybody.
func BenchmarkNeighbours(b *testing.B) {
	const answer, settling = 120, 72
	e := openModel(b, os.Getenv(modelVariable), 512)
	r := stages.Request{Tokens: prompt(e.Model(), 8), MaxTokens: answer, IgnoreEOS: true}
	for _, n := range []int{1, 2} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var quiet, busy time.Duration
			for b.Loop() {
				quiet += generateFor(b, e, r, settling)
				stop := spinners(b, n)
				busy += generateFor(b, e, r, settling)
				stop()
			}
			tokens := float64(b.N * (answer - settling))
			b.ReportMetric(tokens/quiet.Seconds(), "quiet-tok/s")
			b.ReportMetric(tokens/busy.Seconds(), "busy-tok/s")
			b.ReportMetric(quiet.Seconds()/busy.Seconds(), "busy/quiet")
		})
	}
}

// openModel opens a model ("" = the built-in one), answers once and waits
// until the copy of its head is made.
func openModel(b *testing.B, path string, positions int) *stages.Engine {
	b.Helper()
	e, err := stages.Open(b.Context(), path, stages.Options{Ctx: positions, Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	if _, err := stream(b.Context(), e, 1, 8, warmTokens, 0); err != nil {
		b.Fatal(err)
	}
	if err := settled(b.Context(), e.Devices()); err != nil {
		b.Fatal(err)
	}
	return e
}

// generateFor is how long a request takes from the token after so many to its end.
func generateFor(b *testing.B, e *stages.Engine, r stages.Request, settling int) time.Duration {
	b.Helper()
	var start time.Time
	n := 0
	for _, err := range e.Generate(b.Context(), r) {
		if err != nil {
			b.Fatal(err)
		}
		if n++; n == settling {
			start = time.Now()
		}
	}
	return time.Since(start)
}

// spinners starts processes that do nothing, without rest; stop ends them.
func spinners(b *testing.B, n int) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var started []*exec.Cmd
	for range n {
		cmd := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			cancel()
			b.Skipf("no shell to spin in: %v", err)
		}
		started = append(started, cmd)
	}
	return func() {
		cancel()
		for _, cmd := range started {
			_ = cmd.Wait() // it was killed
		}
	}
}
