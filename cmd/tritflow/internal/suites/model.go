package suites

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"

	"tritflow/cmd/tritflow/internal/fingerprint"
	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/cmd/tritflow/internal/targets"
)

// model is what the suites share.
type model struct {
	Options
	hashes  *fingerprint.Model
	answers *receipt.Receipt // of this machine's plainest way
	figures targets.Figures
}

// builtinReceipt is what the model inside the program answered when it was put there:
//
//	tritflow run --receipt builtin.json --devices cpu:1 -n 48 -p "Once upon a time" -p "The capital of France is" \
//	  -p "27 + 15 =" -p "One day, a girl named Lily found a red ball in the park."
//
//go:embed builtin.json
var builtinReceipt []byte

// baseline is the receipt that the model is measured by, nil without one.
func (m *model) baseline(ctx context.Context) (*receipt.Receipt, error) {
	if m.Baseline != nil {
		return m.Baseline, nil
	}
	ours, err := m.ours(ctx)
	if err != nil || !ours {
		return nil, err
	}
	return receipt.Parse("of the program", bytes.NewReader(builtinReceipt))
}

// identity compares every tensor with the baseline's.
func (m *model) identity(ctx context.Context) ([]Check, error) {
	now, err := m.print(ctx)
	if err != nil {
		return nil, err
	}
	was, err := m.baseline(ctx)
	if err != nil {
		return nil, err
	}
	if was == nil {
		return []Check{skipped("hashes of the tensors", "there is no baseline: --baseline RECEIPT names one")}, nil
	}
	c := Check{Name: "hashes of the tensors", Value: fmt.Sprintf("%d tensors and the metadata are the baseline's", len(now.Tensors)), Pass: true}
	if what := was.Model.Differs(now); what != "" {
		c.Value, c.Pass = what, false
	}
	return []Check{c}, nil
}
