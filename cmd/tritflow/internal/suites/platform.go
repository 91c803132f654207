package suites

import (
	"context"
	"fmt"
	"runtime"

	"tritflow/cmd/tritflow/internal/receipt"
	"tritflow/quantkern"
	"tritflow/stages"
)

// platform computes the answers with every set of kernels that the machine can run: they
// must agree with each other, and with the baseline, which another machine has made.
func (m *model) platform(ctx context.Context) (checks []Check, err error) {
	if _, err := m.print(ctx); err != nil {
		return nil, err
	}
	was, err := m.baseline(ctx)
	if err != nil {
		return nil, err
	}
	mine, err := m.reference(ctx)
	if err != nil {
		return nil, err
	}
	for _, tier := range quantkern.Tiers() {
		found, err := m.onTier(ctx, tier, mine, was)
		if err != nil {
			return checks, fmt.Errorf("kernels %s: %w", tier, err)
		}
		checks = append(checks, found...)
	}
	if was == nil || was.Run == nil {
		checks = append(checks, skipped("baseline of another machine", "there is none: --baseline RECEIPT names one"))
	}
	return checks, nil
}

// onTier switches the kernels. No engine is open then.
func (m *model) onTier(ctx context.Context, tier string, mine, was *receipt.Receipt) (checks []Check, err error) {
	restore, err := quantkern.UseTier(tier)
	if err != nil {
		return nil, err
	}
	defer restore()
	onCPU := func(o *stages.Options) { o.Devices, o.Split = "cpu", nil }
	c, err := m.same(ctx, "kernels "+tier, mine, onCPU)
	if err != nil {
		return nil, err
	}
	checks = append(checks, c)
	if was == nil || was.Run == nil {
		return checks, nil
	}
	here := runtime.GOOS + "/" + runtime.GOARCH
	c, err = m.same(ctx, fmt.Sprintf("kernels %s on %s against the baseline of %s", tier, here, was.Program.Platform), was, func(o *stages.Options) {
		onCPU(o)
		o.KV, o.Ctx, o.Pre = was.Settings.KV, was.Settings.Ctx, was.Settings.Pre
	})
	return append(checks, c), err
}
