package stability

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tritflow/cmd/tritflow/internal/tolerance"
)

// Limits are what a stage's figures may be. 0 is no limit.
type Limits struct {
	Correlation        float64 `json:"correlation"`         // least, of what the stage hands over with the F32 forward's
	RelativeMSE        float64 `json:"relative_mse"`        // most, of the same
	ProductCorrelation float64 `json:"product_correlation"` // least, of each product with int8 and float input
	ProductMSE         float64 `json:"product_mse"`         // most, relative to the product's variance
	AbsMax             float64 `json:"absmax"`              // most, of any value
	Saturated          float64 `json:"saturated"`           // most, share of codes ±127 of a product's input
	Device             float64 `json:"device"`              // most, difference of a device from the plain walk, relative to the largest value
}

// Tolerance is the limits of every stage.
type Tolerance struct {
	Name    string            `json:"-"`
	Default Limits            `json:"default"`
	Stages  map[string]Limits `json:"stages"` // "embed", "block 3", "head": instead of Default
}

// Standard is what a trained model keeps with room to spare. Devices other than
// a CPU sum in another order, and an activation is then rounded the other way now and again:
// hence their bound.
func Standard() Tolerance {
	return Tolerance{Name: "default", Default: Limits{
		Correlation: 0.999, RelativeMSE: 2e-3,
		ProductCorrelation: 0.999, ProductMSE: 2e-3,
		Saturated: 0.5, Device: 0.05,
	}}
}

// Strict is for models and devices that are known well.
func Strict() Tolerance {
	t := Standard()
	t.Name = "strict"
	t.Default.Correlation, t.Default.RelativeMSE = 0.9995, 1e-3
	t.Default.ProductCorrelation, t.Default.ProductMSE = 0.9995, 1e-3
	t.Default.Device = 1e-6
	return t
}

// ToleranceNamed is "default", "strict", or a JSON file whose stages begin with
// what "default" says:
//
//	{"default": {"correlation": 0.998}, "stages": {"block 0": {"product_mse": 0.01}}}
func ToleranceNamed(name string) (Tolerance, error) {
	return tolerance.Named(name, Standard(), Strict(), func(data []byte, t *Tolerance) error {
		t.Name = name
		return t.parse(data)
	})
}

func (t *Tolerance) parse(data []byte) error {
	var raw struct {
		Default json.RawMessage            `json:"default"`
		Stages  map[string]json.RawMessage `json:"stages"`
	}
	if err := tolerance.Decode(data, &raw); err != nil {
		return err
	}
	if raw.Default != nil {
		if err := tolerance.Decode(raw.Default, &t.Default); err != nil {
			return fmt.Errorf("default: %w", err)
		}
	}
	t.Stages = map[string]Limits{}
	for stage, limits := range raw.Stages {
		if !isStage(stage) {
			return fmt.Errorf("%q is no stage: write embed, block N or head", stage) // whose limits would hold nowhere
		}
		l := t.Default
		if err := tolerance.Decode(limits, &l); err != nil {
			return fmt.Errorf("%s: %w", stage, err)
		}
		t.Stages[stage] = l
	}
	return nil
}

// isStage tells names that stages of some network have.
func isStage(name string) bool {
	number, block := strings.CutPrefix(name, "block ")
	if !block {
		return name == "embed" || name == "head"
	}
	n, err := strconv.Atoi(number)
	return err == nil && n >= 0 && name == stage(n, n+1)
}

// of gives the limits of a stage.
func (t *Tolerance) of(stage string) Limits {
	if l, ok := t.Stages[stage]; ok {
		return l
	}
	return t.Default
}

// judge finds what of a layer is beyond its limits.
func (t *Tolerance) judge(l *Layer) []*NumericalError {
	var found []*NumericalError
	lim := t.of(l.Stage)
	for _, p := range l.Points {
		at := func(metric string, value, limit float64) {
			found = append(found, &NumericalError{l.Stage, p.Name, metric, value, limit, p.Figures.Worst.Row, p.Figures.Worst.Column})
		}
		if p.NonFinite > 0 {
			at("non-finite values", float64(p.NonFinite), 0)
		}
		if lim.AbsMax > 0 && p.AbsMax > lim.AbsMax {
			at("absmax", p.AbsMax, lim.AbsMax)
		}
	}
	if p := l.Last(); p != nil && p.NonFinite == 0 {
		found = append(found, bounds(l.Stage, p.Name, "", &p.Figures, lim.Correlation, lim.RelativeMSE)...)
	}
	for _, p := range l.Products {
		if p.Figures.NonFinite > 0 {
			continue // the point has said so
		}
		found = append(found, bounds(l.Stage, p.Name, "product ", &p.Figures, lim.ProductCorrelation, lim.ProductMSE)...)
		if lim.Saturated > 0 && p.Saturated > lim.Saturated {
			found = append(found, &NumericalError{l.Stage, p.Name, "saturated share", p.Saturated, lim.Saturated, -1, -1})
		}
	}
	if l.Device != nil && lim.Device > 0 && !(*l.Device <= lim.Device) {
		found = append(found, &NumericalError{l.Stage, l.Last().Name, "difference of the device", *l.Device, lim.Device, -1, -1})
	}
	return found
}
