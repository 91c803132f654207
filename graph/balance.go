package graph

import "math"

// balance finds the contiguous split whose slowest part is fastest, under the
// memory limits: the linear partition problem, solved exactly. best[d][j] is
// the slowest part when the first d devices hold the stages before j;
// from[d][j] is where the last of them begins. Time is at most devices ×
// stages², in practice far less, because a part stops growing when it is full
// or slower than the best found.
func (l *costs) balance() ([]int, error) {
	stages := len(l.stages)
	best := [][]float64{make([]float64, stages+1)}
	for j := 1; j <= stages; j++ {
		best[0][j] = math.Inf(1)
	}
	from := [][]int{nil}
	for d := range l.devs {
		row, begins := make([]float64, stages+1), make([]int, stages+1)
		for j := range row {
			row[j] = math.Inf(1)
			// From the empty part downwards: among equals the latest begin,
			// that is the least work for the later device, stays.
			for i := j; i >= 0 && l.fits(d, i, j); i-- {
				own := l.load(d, i, j)
				if own >= row[j] {
					break
				}
				if slowest := max(best[d][i], own); slowest < row[j] {
					row[j], begins[j] = slowest, i
				}
			}
		}
		best, from = append(best, row), append(from, begins)
	}
	if math.IsInf(best[len(l.devs)][stages], 1) {
		return nil, l.overflow()
	}
	ends := make([]int, len(l.devs))
	for d, end := len(l.devs), stages; d > 0; d-- {
		ends[d-1] = end
		end = from[d][end]
	}
	return ends, nil
}

// overflow says what is left for the last device when every device before it
// holds as much as it can: no split needs less there.
func (l *costs) overflow() error {
	begin, last := 0, len(l.devs)-1
	for d := range last {
		end := begin
		for end < len(l.stages) && l.fits(d, begin, end+1) {
			end++
		}
		begin = end
	}
	e := l.tooMuch(last, begin, len(l.stages))
	e.Filled = last > 0
	return e
}
