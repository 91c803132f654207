package requant

import (
	"errors"
	"math"
	"sync"

	"tritflow/quantkern"
)

// leastMean is what the mean is taken for where weights are all but zero.
const leastMean = 1e-5

// Absmean rounds real-valued weights to trits as BitNet b1.58 is trained with:
// m = mean |w| of the matrix, trit = w/m to the nearest of −1, 0, 1, halves to
// even; the scale is m. The mean is summed in float64, row by row and then the rows in
// order. lost is the share of the weights' squares that the trits miss.
func Absmean(v Values) (src quantkern.TritSource, lost float64, err error) {
	sums := make([]float64, v.Rows)
	err = eachRow(v, func(r int, row []float32) error {
		for i, x := range row {
			a := math.Abs(float64(x))
			if math.IsNaN(a) || math.IsInf(a, 0) {
				return &quantkern.ValueError{Codec: "absmean", Row: r, Col: i, Value: x, Reason: "not finite; repair the tensor"}
			}
			sums[r] += a
		}
		return nil
	})
	if err != nil {
		return src, 0, err
	}
	total := 0.0
	for _, s := range sums {
		total += s
	}
	m := float32(max(total/float64(max(v.Rows*v.Cols, 1)), leastMean))
	s := 1 / m
	var missed, all float64
	var mu sync.Mutex
	err = eachRow(v, func(_ int, row []float32) error {
		var e, a float64
		for _, x := range row {
			d := float64(x) - float64(float64(absmeanTrit(x, s))*float64(m))
			e += float64(d * d)
			a += float64(float64(x) * float64(x))
		}
		mu.Lock()
		missed, all = missed+e, all+a
		mu.Unlock()
		return nil
	})
	if err != nil {
		return src, 0, err
	}
	if all > 0 {
		lost = missed / all
	}
	return v.trits(m, func(x float32) int8 { return absmeanTrit(x, s) }), lost, nil
}

func absmeanTrit(x, s float32) int8 {
	return int8(math.RoundToEven(float64(max(-1, min(1, x*s)))))
}

// eachRow reads every row, several at a time.
func eachRow(v Values, fn func(r int, row []float32) error) error {
	return spread(v.Rows, func(lo, hi int) error {
		row := make([]float32, v.Cols)
		for r := lo; r < hi; r++ {
			if err := v.Row(row, r); err != nil {
				return err
			}
			if err := fn(r, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// Strict finds out whether real-valued weights are ternary as they are: every
// value 0 or ± one magnitude. ok is false where they are not.
func Strict(v Values) (src quantkern.TritSource, ok bool, err error) {
	var mu sync.Mutex
	scale := float32(0)
	err = eachRow(v, func(_ int, row []float32) error {
		own := float32(0)
		for _, x := range row {
			a := float32(math.Abs(float64(x)))
			if a == 0 {
				continue
			}
			if own == 0 {
				own = a
			}
			if a != own || math.IsInf(float64(a), 0) {
				return errNotTernary
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if own != 0 && scale != 0 && own != scale {
			return errNotTernary
		}
		scale = max(scale, own)
		return nil
	})
	if errors.Is(err, errNotTernary) {
		return src, false, nil
	}
	return v.trits(scale, sign), err == nil, err
}

func sign(x float32) int8 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

var errNotTernary = errors.New("not ternary")

// trits are the values, each made a trit.
func (v Values) trits(scale float32, trit func(x float32) int8) quantkern.TritSource {
	var rows sync.Pool
	return quantkern.TritSource{Rows: v.Rows, Cols: v.Cols, Scale: scale, Trits: func(dst []int8, r int) error {
		row, ok := rows.Get().(*[]float32)
		if !ok {
			made := make([]float32, v.Cols)
			row = &made
		}
		defer rows.Put(row)
		if err := v.Row(*row, r); err != nil {
			return err
		}
		for i, x := range *row {
			dst[i] = trit(x)
		}
		return nil
	}}
}
