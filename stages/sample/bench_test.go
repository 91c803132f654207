package sample

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tritflow/device"
)

// BenchmarkSample draws from Llama 3's 128,256 tokens: from logits that are spread as
// those of random weights (flat), and as those of a trained model, where a few
// tokens have nearly everything (peaked).
func BenchmarkSample(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, shape := range []struct {
		name   string
		spread float64
	}{{"flat", 1}, {"peaked", 3}} {
		row := make([]float32, 128256)
		for i := range row {
			row[i] = float32(shape.spread * rng.NormFloat64())
		}
		for _, p := range []Params{
			{Temperature: 1, TopP: 1},
			{Temperature: 0.8, TopP: 0.95},
			{Temperature: 0.8, TopP: 1, MinP: 0.05},
			{Temperature: 0.8, TopP: 0.95, TopK: 40},
			{Temperature: 0.8, TopP: 1, TypicalP: 0.9},
		} {
			name := fmt.Sprintf("%s/temp=%v,top-p=%v,min-p=%v,top-k=%v,typical=%v", shape.name, p.Temperature, p.TopP, p.MinP, p.TopK, p.TypicalP)
			b.Run(name, func(b *testing.B) {
				s := New(p)
				for b.Loop() {
					if _, err := s.Sample(device.Scores{Full: row}, -1); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
