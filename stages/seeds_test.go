package stages

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"tritflow/stages/sample"
)

// stories asks for one story a seed, all at once.
func stories(t *testing.T, e *Engine, seeds ...uint64) []string {
	t.Helper()
	item := readMini(t).Items[3] // "Tell me a story about Mia and a red kite."
	out := make([]string, len(seeds))
	var g errgroup.Group
	for i, seed := range seeds {
		g.Go(func() error {
			for tok, err := range e.Generate(context.Background(), Request{
				Tokens: item.IDs, MaxTokens: 256,
				Sampling: sample.Params{Temperature: 0.8, TopP: 1, Repeat: 1, Seed: seed},
			}) {
				if err != nil {
					return err
				}
				out[i] += tok.Text
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSeeds: five seeds at temperature 0.8 tell five stories, and a seed tells
// the same one every time, on one device or two, alone or in company.
func TestSeeds(t *testing.T) {
	if raceEnabled {
		t.Skip("long answers; TestAnswersAreTheSameEverywhere runs under the race detector")
	}
	seeds := []uint64{1, 2, 3, 4, 5}
	together := stories(t, openBuiltin(t, Options{Devices: "cpu:1", MaxSeqs: 5}), seeds...)
	seen := map[string]uint64{}
	for i, s := range together {
		if other, ok := seen[s]; ok || len(s) < 100 {
			t.Errorf("seed %d (and %d) tells %q", seeds[i], other, s)
		}
		seen[s] = seeds[i]
	}
	for _, devices := range []string{"cpu:1", "cpu:2", "cpu:1,cpu:1"} {
		t.Run(devices, func(t *testing.T) {
			e := openBuiltin(t, Options{Devices: devices, MaxSeqs: 8})
			for i, seed := range seeds {
				if alone := stories(t, e, seed)[0]; alone != together[i] {
					t.Errorf("seed %d alone: %q; among five: %q", seed, alone, together[i])
				}
			}
			company := append([]uint64{11, 12, 13}, seeds...)
			for i, s := range stories(t, e, company...)[3:] {
				if s != together[i] {
					t.Errorf("seed %d among %s: %q; among five: %q", seeds[i], fmt.Sprint(company), s, together[i])
				}
			}
		})
	}
}
