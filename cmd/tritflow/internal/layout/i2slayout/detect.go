package i2slayout

import (
	"math"

	"tritflow/quantkern"
)

// Layouts are the names of the orders as quantkern's codecs have them.
var Layouts = [3]string{"I2_S", "I2_S_B", "I2_S_C"}

// Letter is an order's name in flags and messages: A, B or C.
func Letter(layout string) string {
	return map[string]string{"I2_S": "A", "I2_S_B": "B", "I2_S_C": "C"}[layout]
}

// Matrix is an I2_S tensor: packed bytes with the scale behind them.
type Matrix struct {
	Data       []byte
	Rows, Cols int
}

// Group is a matrix and what its columns can be compared with.
type Group struct {
	Of Matrix
	// Norm are the weights of the norm before the matrix, a value a column; may be nil.
	Norm []float32
	// Makers are matrices whose rows produce the columns of Of. Their row r
	// belongs to the columns c with c/Repeat = r where Repeat is above 1 (heads that
	// share keys), to column r else. May be nil.
	Makers []Matrix
	// Column maps a column to the makers' row; nil is the identity.
	Column func(c int) int
}

// Verdict is what the weights say.
type Verdict struct {
	Layout string             // the likeliest of Layouts
	Known  bool               // whether the weights can tell at all
	Odds   float64            // natural logarithm of how many times likelier it is than the next one
	Score  map[string]float64 // agreement in each order, in nats; the differences count
}

// Sure is the probability that the verdict is right, 0 where it says nothing.
func (v Verdict) Sure() float64 {
	if !v.Known {
		return 0
	}
	return 1 / (1 + math.Exp(-v.Odds))
}

// leastOdds is how far the best order must be ahead, in nats. Agreement of
// random weights is a few nats at most.
const leastOdds = 20

// Detect compares the orders over all groups. Groups whose shape an order
// cannot hold speak against no order; they are left out.
func Detect(groups []Group) Verdict {
	var score [len(Layouts)]float64
	compared := 0
	for i := range groups {
		g := &groups[i]
		var s [len(Layouts)]float64
		n, whole := 0, true
		for l, name := range Layouts {
			a, k, ok := g.agreement(name)
			s[l], n, whole = a, max(n, k), whole && ok
		}
		if !whole {
			continue
		}
		compared += n
		for l := range s {
			score[l] += s[l]
		}
	}
	v := Verdict{Score: map[string]float64{}}
	best := 0
	for l, name := range Layouts {
		v.Score[name] = score[l]
		if score[l] > score[best] {
			best = l
		}
	}
	second := math.Inf(-1)
	for l := range Layouts {
		if l != best {
			second = max(second, score[l])
		}
	}
	v.Layout, v.Odds = Layouts[best], score[best]-second
	v.Known = v.Odds > leastOdds+3*math.Sqrt(float64(compared))
	if !v.Known {
		v.Layout = Layouts[0]
	}
	return v
}

// agreement is the log-likelihood that correlation adds over none, summed over
// what the group can be compared with, and how many comparisons that were.
func (g *Group) agreement(layout string) (nats float64, n int, ok bool) {
	_, cols, ok := density(layout, g.Of)
	if !ok {
		return 0, 0, false
	}
	if g.Norm != nil {
		norm := make([]float64, len(g.Norm))
		for i, v := range g.Norm {
			norm[i] = math.Log(math.Abs(float64(v)) + 1e-9)
		}
		nats += explained(cols, norm)
		n++
	}
	for _, m := range g.Makers {
		rows, _, fits := density(layout, m)
		if !fits {
			return 0, 0, false
		}
		made := rows
		if g.Column != nil {
			made = make([]float64, len(cols))
			for c := range made {
				made[c] = rows[g.Column(c)]
			}
		}
		nats += explained(cols, made)
		n++
	}
	return nats, n, true
}

// density is the share of weights that are not 0, by row and by column.
func density(layout string, m Matrix) (rows, cols []float64, ok bool) {
	c, err := quantkern.Lookup(layout)
	if err != nil {
		return nil, nil, false
	}
	w, err := quantkern.NewTernary(c, m.Data, m.Rows, m.Cols)
	if err != nil || m.Rows == 0 || m.Cols == 0 {
		return nil, nil, false
	}
	rows, cols = make([]float64, m.Rows), make([]float64, m.Cols)
	count := make([]int32, m.Cols)
	trits := make([]int8, m.Cols)
	for r := range rows {
		w.Trits(trits, r)
		n := int32(0)
		for c, t := range trits {
			one := int32(t & 1) // −1 and +1, not 0 and not the undefined +2
			count[c] += one
			n += one
		}
		rows[r] = float64(n) / float64(m.Cols)
	}
	for c, n := range count {
		cols[c] = float64(n) / float64(m.Rows)
	}
	return rows, cols, true
}

// explained is −n/2·ln(1−r²) for the correlation r of two series.
func explained(x, y []float64) float64 {
	n := min(len(x), len(y))
	if n < 32 {
		return 0
	}
	var mx, my float64
	for i := range n {
		mx += x[i]
		my += y[i]
	}
	mx, my = mx/float64(n), my/float64(n)
	var xx, yy, xy float64
	for i := range n {
		a, b := x[i]-mx, y[i]-my
		xx += a * a
		yy += b * b
		xy += a * b
	}
	if xx <= 0 || yy <= 0 {
		return 0
	}
	r2 := min(xy*xy/(xx*yy), 0.999)
	if math.IsNaN(r2) {
		return 0
	}
	return -0.5 * float64(n) * math.Log(1-r2)
}
