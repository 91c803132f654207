package suites

import (
	"context"
	"fmt"

	"tritflow/cmd/tritflow/internal/operations"
	"tritflow/cmd/tritflow/internal/score"
	"tritflow/cmd/tritflow/internal/stability"
	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
)

// Bounds of the seed.
const (
	mostMSE          = 1e-6
	leastCorrelation = 0.999
)

const (
	walkTokens = 96
	fewTokens  = 16  // for models whose F32 forward takes long
	largeBytes = 1e8 // of weights
	inputSeed  = 1
)

// numbers compares operations with float64, and the layers with an F32 forward of the
// same weights and with the devices.
func (m *model) numbers(ctx context.Context) ([]Check, error) {
	var checks []Check
	err := m.withFile(func(f *gguf.File, g *graph.Model) error {
		ops, err := operations.Measure(shape(g), inputSeed)
		if err != nil {
			return err
		}
		worst, name := operations.Worst(ops)
		m.figures.Values["operations_mse"] = worst
		checks = append(checks, most(fmt.Sprintf("MSE of %d operations, worst: %s", len(ops), name), worst, mostMSE))
		m.figures.Weights = weights(f)
		r, err := m.walk(ctx, f)
		if err != nil {
			return err
		}
		checks = append(checks, m.layers(r)...)
		return nil
	})
	return checks, err
}

func shape(g *graph.Model) operations.Shape {
	s := operations.Shape{Hidden: g.Hidden}
	if len(g.Blocks) > 0 {
		b := &g.Blocks[0]
		s.FFN, s.HeadDim, s.Heads, s.KVHeads = b.FFN, b.KeyDim, b.Heads, b.KVHeads
	}
	return s
}

func weights(f *gguf.File) float64 {
	sum := 0.0
	for _, t := range f.Tensors() {
		sum += float64(len(t.Data))
	}
	return sum
}

func (m *model) walk(ctx context.Context, f *gguf.File) (*stability.Report, error) {
	v, err := vocab.Load(f.Metadata(), vocab.Options{Pre: m.Engine.Pre})
	if err != nil {
		return nil, err
	}
	n := walkTokens
	if m.figures.Weights > largeBytes {
		n = fewTokens
	}
	ids := v.Encode(score.Text, vocab.EncodeOptions{AddSpecial: true})
	devices := m.Engine.Devices
	if devices == "" || devices == "auto" {
		devices = "cpu"
	}
	return stability.Run(ctx, stability.Options{
		File: f, Tokens: ids[:min(n, len(ids))], KV: m.Engine.KV, Devices: devices, Tolerance: stability.Standard(),
	})
}

// layers sums a walk up.
func (m *model) layers(r *stability.Report) []Check {
	correlation, mse, place := 1.0, 0.0, ""
	for _, l := range r.Layers {
		p := l.Last()
		if p == nil {
			continue
		}
		correlation = min(correlation, p.Figures.Correlation)
		if p.Figures.RelativeMSE >= mse {
			mse, place = p.Figures.RelativeMSE, l.Stage
		}
	}
	l := &r.Logits
	values := m.figures.Values
	values["correlation"], values["least_correlation"], values["layer_mse"] = l.Correlation, correlation, mse
	values["likeliest_token_agreement"] = l.Agreement
	all := Check{Name: "stages within their limits", Value: fmt.Sprintf("%d stages", len(r.Layers)), Limit: r.Tolerance, Pass: r.Pass}
	if !r.Pass {
		all.Value = r.Problems[0].Error()
	}
	device, same := 0.0, true
	for _, x := range r.Layers {
		if x.Device != nil {
			device = max(device, *x.Device)
			same = same && *x.Device == 0
		}
	}
	return []Check{
		all,
		least("correlation of the logits with the F32 forward", l.Correlation, leastCorrelation),
		least("correlation of the worst stage", correlation, leastCorrelation),
		{Name: "MSE of the worst stage, " + place, Value: fmt.Sprintf("%.3g of the variance", mse), Limit: "reported", Pass: true},
		{Name: "devices against the plain walk", Value: fmt.Sprintf("%.3g at most", device), Limit: "the same bits", Pass: same || !m.cpu()},
	}
}
