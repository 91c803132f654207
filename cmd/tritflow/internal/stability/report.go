package stability

import (
	"fmt"

	"tritflow/cmd/tritflow/internal/compare"
)

// Report is what a walk found; as JSON the object that `tritflow validate
// --json` prints.
type Report struct {
	Model     string               `json:"model"`
	Tokens    int                  `json:"tokens"`
	KV        string               `json:"kv"`
	Devices   string               `json:"devices,omitempty"`
	Tolerance string               `json:"tolerance"`
	Pass      bool                 `json:"pass"`
	Problems  []*NumericalError    `json:"problems"`
	Layers    []*Layer             `json:"layers"` // embedding, blocks, head
	Logits    compare.LogitFigures `json:"logits"` // against the F32 forward
}

// Layer is one stage.
type Layer struct {
	Stage    string     `json:"stage"` // "embed", "block 3", "head"
	Points   []*Point   `json:"points"`
	Products []*Product `json:"products"`
	// Device is how far the device's result is from the plain walk's: the largest
	// difference over the largest magnitude, 0 on a CPU. Nil without a device.
	Device *float64 `json:"device"`
}

// Last is the point at which the stage hands over.
func (l *Layer) Last() *Point {
	if len(l.Points) == 0 {
		return nil
	}
	return l.Points[len(l.Points)-1]
}

// Point is one tensor of the network in the walk with int8 activations.
type Point struct {
	Name      string          `json:"name"`
	AbsMax    float64         `json:"absmax"`
	NonFinite int             `json:"non_finite"`
	Figures   compare.Figures `json:"against_f32"` // accumulated difference from the F32 forward
}

// Product is one ternary product with int8 activations, beside the same input
// in float32.
type Product struct {
	Name      string          `json:"name"`
	Figures   compare.Figures `json:"quantization"`
	InAbsMax  float64         `json:"in_absmax"`
	Crest     float64         `json:"crest"`     // largest |x| over root mean square of a row, the worst row
	Saturated float64         `json:"saturated"` // share of codes ±127
	Vanished  float64         `json:"vanished"`  // share of inputs other than 0 whose code is 0
}

// NumericalError is a figure beyond its limit.
type NumericalError struct {
	Stage     string  `json:"stage"` // "block 3"
	Layer     string  `json:"layer"` // tensor: "ffn_down-3"
	Metric    string  `json:"metric"`
	Value     float64 `json:"value"`
	Threshold float64 `json:"threshold"`
	Row       int     `json:"row"` // position in the prompt of the worst value, -1 where there is none
	Column    int     `json:"column"`
}

func (e *NumericalError) Error() string {
	s := fmt.Sprintf("stability: %s, %s: %s is %.6g, the limit is %.6g", e.Stage, e.Layer, e.Metric, e.Value, e.Threshold)
	if e.Row >= 0 {
		s += fmt.Sprintf(" (worst at position %d, element %d)", e.Row, e.Column)
	}
	return s
}

// WorstProduct is the product that int8 changes most, nil without one.
func (l *Layer) WorstProduct() *Product {
	var worst *Product
	for _, p := range l.Products {
		if worst == nil || p.Figures.RelativeMSE > worst.Figures.RelativeMSE {
			worst = p
		}
	}
	return worst
}
