package compare

import "math"

// LogSum is ln Σ exp(x), in float64; −Inf for none.
func LogSum(x []float32) float64 {
	top := math.Inf(-1)
	for _, v := range x {
		top = math.Max(top, float64(v)) // a NaN stays
	}
	if math.IsInf(top, -1) || math.IsNaN(top) {
		return top
	}
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

// LogProb is the log-probability of token id among logits.
func LogProb(logits []float32, id int32) float64 {
	return float64(logits[id]) - LogSum(logits)
}

// Best is the largest value's index, the first of equals; a NaN never wins.
func Best(x []float32) int {
	best := 0
	for i, v := range x {
		if v > x[best] || x[best] != x[best] {
			best = i
		}
	}
	return best
}

// Logits compares rows of logits: the numbers, and what they say about tokens.
// The zero value is ready for use.
type Logits struct {
	Values
	rows, equal int
	kl, klMax   float64
	first       *Divergence
}

// Divergence is the first row whose likeliest token is another one.
type Divergence struct {
	Case          int     `json:"case"`
	Position      int     `json:"position"`
	Token         int32   `json:"token"`                     // ours
	Reference     int32   `json:"reference"`                 // theirs
	Gap           float64 `json:"gap"`                       // by how much theirs beats ours in the reference's logits
	AtLeast       bool    `json:"gap_is_at_least,omitempty"` // the reference does not list ours: the gap is larger
	OurGap        float64 `json:"our_gap"`                   // by how much ours beats theirs in our logits
	Prompt        string  `json:"prompt,omitempty"`
	TokenText     string  `json:"token_text,omitempty"`
	ReferenceText string  `json:"reference_text,omitempty"`
}

// Add compares the logits of one position. It returns the Kullback-Leibler
// divergence, in nats, from the reference's distribution, and whether the
// likeliest token is the same.
func (l *Logits) Add(sample, pos int, got, reference []float32) (kl float64, same bool) {
	l.Values.Add(pos, got, reference)
	l.rows++
	kl = Divergent(got, reference)
	l.kl += kl
	l.klMax = math.Max(l.klMax, kl)
	a, b := Best(got), Best(reference)
	if same = a == b; same {
		l.equal++
	} else if l.first == nil {
		l.first = &Divergence{
			Case: sample, Position: pos, Token: int32(a), Reference: int32(b),
			Gap: bounded(float64(reference[b]) - float64(reference[a])), OurGap: bounded(float64(got[a]) - float64(got[b])),
		}
	}
	return kl, same
}

// Divergent is the Kullback-Leibler divergence Σ p·ln(p/q) of the logits got
// (q) from those of a reference (p), in nats; never below 0, and the largest
// number where logits are not finite.
func Divergent(got, reference []float32) float64 {
	logQ, logP := LogSum(got), LogSum(reference)
	sum := 0.0
	for i, r := range reference {
		p := float64(r) - logP
		if e := math.Exp(p); e > 0 {
			sum += e * (p - (float64(got[i]) - logQ))
		}
	}
	return bounded(math.Max(sum, 0))
}

// bounded keeps what is no number, or too large, out of reports: JSON has no
// words for it.
func bounded(x float64) float64 {
	if x-x != 0 {
		return math.MaxFloat64
	}
	return x
}

// LogitFigures say how far logits are from a reference's.
type LogitFigures struct {
	Figures
	Rows      int         `json:"rows"`
	Equal     int         `json:"equal"`     // rows with the same likeliest token
	Agreement float64     `json:"agreement"` // Equal / Rows
	KL        float64     `json:"kl"`        // mean, nats a row
	KLMax     float64     `json:"kl_max"`
	First     *Divergence `json:"first_divergence"`
}

// Figures sums up.
func (l *Logits) Figures() LogitFigures {
	f := LogitFigures{Figures: l.Values.Figures(), Rows: l.rows, Equal: l.equal, KLMax: l.klMax, First: l.first}
	if l.rows > 0 {
		f.Agreement, f.KL = float64(l.equal)/float64(l.rows), bounded(l.kl/float64(l.rows))
	}
	return f
}
