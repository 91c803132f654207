package operations

import (
	"math"
	"testing"

	"tritflow/quantkern"
)

// TestMeasure: every operation is far below the seed's bound on every kernel tier, all
// tiers give the same figures, and none of the measurements is empty.
func TestMeasure(t *testing.T) {
	for _, shape := range []Shape{{}, {Hidden: 2560, FFN: 6912, HeadDim: 128, Heads: 20, KVHeads: 5}} {
		var first []Operation
		for _, tier := range quantkern.Tiers() {
			restore, err := quantkern.UseTier(tier)
			if err != nil {
				t.Fatal(err)
			}
			ops, err := Measure(shape, 1)
			restore()
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = ops
			}
			for i, o := range ops {
				f := o.Figures
				bound := 1e-12
				if o.Name == "attention, f16 cache" {
					bound = 1e-6
				}
				if f.Values < 64 || f.NonFinite > 0 || !(f.RelativeMSE < bound) || f.Correlation < .999999 {
					t.Errorf("%s, %s: %+v", tier, o.Name, f)
				}
				if f != first[i].Figures {
					t.Errorf("%s, %s: other bits than %s", tier, o.Name, quantkern.Tiers()[0])
				}
			}
		}
		if mse, name := Worst(first); name != "attention, f16 cache" || mse <= 0 || mse > 1e-6 {
			t.Errorf("worst is %s with %g", name, mse)
		}
	}
	ops := []Operation{{Name: "a"}, {Name: "b"}}
	ops[1].Figures.NonFinite = 1
	if mse, name := Worst(ops); !math.IsInf(mse, 1) || name != "b" {
		t.Errorf("NaN is %g of %s", mse, name)
	}
}
