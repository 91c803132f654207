package bench

import (
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"tritflow/stages"
)

// engine opens the built-in model on the default devices.
func engine(b *testing.B) *stages.Engine {
	b.Helper()
	e, err := stages.Open(b.Context(), "", stages.Options{Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// generate runs one request to its end and returns how many tokens it gave.
func generate(b *testing.B, e *stages.Engine, r stages.Request) (int, error) {
	n := 0
	for _, err := range e.Generate(b.Context(), r) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func report(b *testing.B, tokens int) {
	b.Helper()
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tok/s")
}

// BenchmarkPrefill: 256 prompt tokens and one answer token.
func BenchmarkPrefill(b *testing.B) {
	e := engine(b)
	ids := prompt(e.Model(), 256)
	for b.Loop() {
		if _, err := generate(b, e, stages.Request{Tokens: ids, MaxTokens: 1, IgnoreEOS: true}); err != nil {
			b.Fatal(err)
		}
	}
	report(b, b.N*len(ids))
}

// BenchmarkDecode: 64 tokens after a prompt of 8, one request.
func BenchmarkDecode(b *testing.B) {
	benchmarkDecode(b, 1)
}

// BenchmarkDecode8: the same for 8 requests at once, tokens of all together.
func BenchmarkDecode8(b *testing.B) {
	benchmarkDecode(b, 8)
}

func benchmarkDecode(b *testing.B, requests int) {
	const answer = 64
	e := engine(b)
	r := stages.Request{Tokens: prompt(e.Model(), 8), MaxTokens: answer, IgnoreEOS: true}
	for b.Loop() {
		var g errgroup.Group
		for range requests {
			g.Go(func() error {
				n, err := generate(b, e, r)
				if err == nil && n != answer {
					b.Errorf("%d tokens, asked for %d", n, answer)
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	report(b, b.N*requests*answer)
}
