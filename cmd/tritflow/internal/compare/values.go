package compare

import "math"

// Figures say how far values are from a reference.
type Figures struct {
	Values      int     `json:"values"`
	MSE         float64 `json:"mse"`
	RelativeMSE float64 `json:"relative_mse"` // MSE over the reference's variance
	Mean        float64 `json:"mean"`         // of the absolute differences
	Max         float64 `json:"max"`          // absolute difference
	Correlation float64 `json:"correlation"`  // Pearson; 1 where both are constant and equal
	NonFinite   int     `json:"non_finite"`   // pairs with a NaN or an infinity, left out of the rest
	Worst       Place   `json:"worst"`        // of Max, or of the first pair that is not finite
}

// Place is where in a matrix something was found.
type Place struct {
	Row       int     `json:"row"`
	Column    int     `json:"column"`
	Got       float32 `json:"-"`
	Reference float32 `json:"-"`
}

// Values compares rows of numbers. The zero value is ready for use.
type Values struct {
	n                               int
	abs, square, max                float64
	sumA, sumB, sumAA, sumBB, sumAB float64
	lost                            int
	worst                           Place
}

// Add compares a row with the reference's, which is as long.
func (v *Values) Add(row int, got, reference []float32) {
	reference = reference[:len(got)]
	for i, g := range got {
		a, b := float64(g), float64(reference[i])
		d := math.Abs(a - b)
		if d-d != 0 { // not finite
			if v.lost == 0 {
				v.worst = Place{row, i, g, reference[i]}
			}
			v.lost++
			continue
		}
		v.n++
		v.abs += d
		v.square += d * d
		v.sumA, v.sumB = v.sumA+a, v.sumB+b
		v.sumAA, v.sumBB, v.sumAB = v.sumAA+a*a, v.sumBB+b*b, v.sumAB+a*b
		if d > v.max {
			v.max = d
			if v.lost == 0 {
				v.worst = Place{row, i, g, reference[i]}
			}
		}
	}
}

// Figures sums up.
func (v *Values) Figures() Figures {
	f := Figures{Values: v.n, Max: v.max, NonFinite: v.lost, Worst: v.worst}
	if v.n == 0 {
		return f
	}
	n := float64(v.n)
	f.MSE, f.Mean = v.square/n, v.abs/n
	varA, varB := v.sumAA/n-v.sumA/n*(v.sumA/n), v.sumBB/n-v.sumB/n*(v.sumB/n)
	switch {
	case varB > 0:
		f.RelativeMSE = f.MSE / varB
	case f.MSE > 0:
		f.RelativeMSE = math.MaxFloat64
	}
	switch {
	case v.square == 0:
		f.Correlation = 1
	case varA > 0 && varB > 0:
		f.Correlation = (v.sumAB/n - v.sumA/n*(v.sumB/n)) / math.Sqrt(varA*varB)
		f.Correlation = min(max(f.Correlation, -1), 1)
	}
	return f
}
