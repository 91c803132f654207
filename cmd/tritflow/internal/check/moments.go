package check

import (
	"math"
)

// moments are statistics of a tensor's values.
type moments struct {
	n                    int
	mean, rms, absmean   float64
	least, most          float64
	zeros, bad, positive int
}

func momentsOf(values []float32) moments {
	m := moments{n: len(values), least: math.Inf(1), most: math.Inf(-1)}
	var sum, squares, abs float64
	for _, v := range values {
		x := float64(v)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			m.bad++
			continue
		}
		sum += x
		squares += x * x
		abs += math.Abs(x)
		m.least, m.most = min(m.least, x), max(m.most, x)
		if x == 0 {
			m.zeros++
		}
		if x > 0 {
			m.positive++
		}
	}
	n := float64(max(m.n-m.bad, 1))
	m.mean, m.rms, m.absmean = sum/n, math.Sqrt(squares/n), abs/n
	return m
}

// Bounds of a root mean square that the weights of a norm or a table can have.
// They are wide: published norms lie between 0.003 and 60.
const leastRMS, mostRMS = 1e-6, 1e4

func (m moments) sane() bool {
	return m.n > 0 && m.bad == 0 && m.rms >= leastRMS && m.rms <= mostRMS
}
