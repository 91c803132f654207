package stability

import (
	"math"

	"tritflow/cmd/tritflow/internal/compare"
	"tritflow/cmd/tritflow/internal/walk"
	"tritflow/quantkern"
)

// product measures what rounding a product's input to int8 costs. Products
// with other weights round nothing.
func (w *walker) product(p walk.Product) error {
	codec, err := quantkern.Lookup(p.Linear.Weight.Type.String())
	if err != nil || !codec.Ternary {
		return err
	}
	exact, err := w.quantized.Unrounded(&p)
	if err != nil {
		return err
	}
	in, out := p.Linear.In, p.Linear.Out
	r := &Product{Name: p.String()}
	var v compare.Values
	var saturated, vanished, some int
	codes := make([]int8, in)
	for row := range len(p.In) / in {
		v.Add(row, p.Out[row*out:(row+1)*out], exact[row*out:(row+1)*out])
		x := p.In[row*in : (row+1)*in]
		quantkern.QuantizeRow(codes, x)
		top, square := 0.0, 0.0
		for i, value := range x {
			a := math.Abs(float64(value))
			top, square = max(top, a), square+a*a
			switch {
			case codes[i] == 127 || codes[i] == -127:
				saturated++
			case codes[i] == 0 && value != 0:
				vanished++
			}
			if value != 0 {
				some++
			}
		}
		if top-top == 0 { // finite
			r.InAbsMax = max(r.InAbsMax, top)
			if square > 0 {
				r.Crest = max(r.Crest, top/math.Sqrt(square/float64(in)))
			}
		}
	}
	r.Figures = v.Figures()
	r.Saturated = float64(saturated) / float64(len(p.In))
	r.Vanished = float64(vanished) / float64(max(some, 1))
	w.layer.Products = append(w.layer.Products, r)
	return nil
}

// bounds compares a tensor's figures with its limits.
func bounds(stage, layer, prefix string, f *compare.Figures, correlation, relative float64) []*NumericalError {
	var found []*NumericalError
	if correlation > 0 && f.Correlation < correlation {
		found = append(found, &NumericalError{stage, layer, prefix + "correlation", f.Correlation, correlation, f.Worst.Row, f.Worst.Column})
	}
	if relative > 0 && f.RelativeMSE > relative {
		found = append(found, &NumericalError{stage, layer, prefix + "relative MSE", f.RelativeMSE, relative, f.Worst.Row, f.Worst.Column})
	}
	return found
}
