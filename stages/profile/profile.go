package profile

import "sort"

// Curve gives seconds for numbers of rows, which ascend.
type Curve struct {
	Rows    []int     `json:"rows"`
	Seconds []float64 `json:"seconds"`
}

// At interpolates between the entries; before the first it is the first, after
// the last it goes on as between the last two. 0 without entries.
func (c Curve) At(rows int) float64 {
	n := len(c.Rows)
	i := sort.SearchInts(c.Rows, rows)
	switch {
	case n == 0:
		return 0
	case i < n && c.Rows[i] == rows, i == 0, n == 1:
		return c.Seconds[min(i, n-1)]
	case i == n:
		i--
	}
	slope := (c.Seconds[i] - c.Seconds[i-1]) / float64(c.Rows[i]-c.Rows[i-1])
	return c.Seconds[i-1] + slope*float64(rows-c.Rows[i-1])
}

// Profile is what a device takes for parts of one model.
type Profile struct {
	Embed    float64 `json:"embed"`    // a row
	Block    Curve   `json:"block"`    // one block of average size, each row at the beginning of its sequence
	Attend   float64 `json:"attend"`   // more for a row, block and earlier position
	Head     Curve   `json:"head"`     // rows that are answered greedily, without a screening copy
	Screened Curve   `json:"screened"` // with one; empty where the device makes none
}

// Step is what a part takes for a Step.
func (p *Profile) Step(w Work) float64 {
	t := 0.0
	if w.Embed {
		t += p.Embed * float64(w.Rows)
	}
	if w.Blocks > 0 {
		t += w.Blocks * (p.Block.At(w.Rows) + p.Attend*float64(w.Rows)*w.Context)
	}
	if w.Head && w.Answers > 0 {
		t += p.head(w.Screened).At(w.Answers)
	}
	return t
}

func (p *Profile) head(screened bool) Curve {
	if screened && len(p.Screened.Rows) > 0 {
		return p.Screened
	}
	return p.Head
}

// Work is a part of a model and what a Step asks of it.
type Work struct {
	Embed, Head bool
	Blocks      float64 // of average size
	Rows        int
	Answers     int     // rows that the head answers
	Context     float64 // earlier positions of a row, on average
	Screened    bool    // the head has a screening copy
}

// budgetLoss is the part of the best speed that a row budget may cost.
const budgetLoss = 0.05

// RowBudget is the smallest number of rows, of those measured, with which a
// block is nearly as fast a row as it can be: a larger Step would make the
// others wait longer and gain next to nothing. 0 where nothing is known.
func (p *Profile) RowBudget() int {
	best := 0.0
	rate := func(i int) float64 { return float64(p.Block.Rows[i]) / p.Block.Seconds[i] }
	for i := range p.Block.Rows {
		best = max(best, rate(i))
	}
	for i, n := range p.Block.Rows {
		if rate(i) >= (1-budgetLoss)*best {
			return n
		}
	}
	return 0
}

// Set is the profiles of a list of devices.
type Set struct {
	Alone    []Profile `json:"alone"`
	Together []Profile `json:"together"` // while all of them work
}
