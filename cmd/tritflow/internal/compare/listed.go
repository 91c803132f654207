package compare

import (
	"math"
	"slices"
)

// Listed compares rows of logits with a reference that lists only its likeliest
// tokens and their log-probabilities. The zero value is ready for use.
type Listed struct {
	rows, equal, values, lost int
	abs, max, kl, klMax, mass float64
	least, most               int
	worst                     ListedPlace
	first                     *Divergence
}

// ListedPlace is the listed token that differs most.
type ListedPlace struct {
	Case      int     `json:"case"`
	Position  int     `json:"position"`
	Token     int32   `json:"token"`
	Got       float64 `json:"got"`       // ours: log-probability
	Reference float64 `json:"reference"` // theirs
	TokenText string  `json:"token_text,omitempty"`
}

// ListedRow says how one position compares.
type ListedRow struct {
	KL   float64 // nats, at least
	Same bool    // the likeliest token is the same
	Gap  float64 // by how much the reference's likeliest token beats ours in its list; +Inf where it does not list ours
}

// Add compares the logits of one position with a list of one token or more.
// Entries at or below impossible stand for probability 0 and are not compared.
//
// The Kullback-Leibler divergence is that of the listed tokens and of one more,
// "any other", which has what remains to 1 in both. It is never more than the
// divergence of the whole distributions.
func (l *Listed) Add(sample, pos int, got []float32, ids []int32, logprobs []float64, impossible float64) ListedRow {
	sum := LogSum(got)
	best, restP, restQ := 0, 1.0, 1.0
	var r ListedRow
	listed := 0
	for i, id := range ids {
		if logprobs[i] > logprobs[best] {
			best = i
		}
		if logprobs[i] <= impossible {
			continue
		}
		listed++
		p, q := logprobs[i], float64(got[id])-sum
		d := math.Abs(p - q)
		if d-d != 0 {
			l.lost++
			continue
		}
		l.values++
		l.abs += d
		if d > l.max || l.values == 1 {
			l.max, l.worst = d, ListedPlace{Case: sample, Position: pos, Token: id, Got: q, Reference: p}
		}
		restP, restQ = restP-math.Exp(p), restQ-math.Exp(q)
		r.KL += math.Exp(p) * (p - q)
	}
	// What remains is a difference of sums near 1: below this it is their rounding.
	const rounding = 1e-6
	restP, restQ = math.Max(restP, 0), math.Max(restQ, 0)
	l.mass += 1 - restP
	if restP > rounding || restQ > rounding {
		p, q := math.Max(restP, rounding), math.Max(restQ, rounding)
		r.KL += p * math.Log(p/q)
	}
	r.KL = bounded(math.Max(r.KL, 0))
	l.kl, l.klMax = l.kl+r.KL, math.Max(l.klMax, r.KL)
	if l.rows++; l.rows == 1 {
		l.least, l.most = listed, listed
	}
	l.least, l.most = min(l.least, listed), max(l.most, listed)
	l.likeliest(sample, pos, got, ids, logprobs, best, &r)
	return r
}

// likeliest compares the largest of both.
func (l *Listed) likeliest(sample, pos int, got []float32, ids []int32, logprobs []float64, best int, r *ListedRow) {
	ours := int32(Best(got))
	if r.Same = ours == ids[best]; r.Same {
		l.equal++
		return
	}
	at, least := slices.Index(ids, ours), slices.Min(logprobs)
	if at >= 0 {
		least = logprobs[at]
	}
	d := &Divergence{
		Case: sample, Position: pos, Token: ours, Reference: ids[best],
		Gap: bounded(logprobs[best] - least), AtLeast: at < 0, OurGap: bounded(float64(got[ours]) - float64(got[ids[best]])),
	}
	if r.Gap = d.Gap; d.AtLeast {
		r.Gap = math.Inf(1)
	}
	if l.first == nil {
		l.first = d
	}
}

// ListedFigures say how far logits are from a reference's lists.
type ListedFigures struct {
	Rows      int         `json:"rows"`
	Equal     int         `json:"equal"`     // rows with the same likeliest token
	Agreement float64     `json:"agreement"` // Equal / Rows
	Values    int         `json:"values"`    // listed log-probabilities that were compared
	Least     int         `json:"least"`     // of a row
	Most      int         `json:"most"`
	Mean      float64     `json:"mean"`   // of the absolute differences of log-probabilities
	Max       float64     `json:"max"`    // of the same
	Mass      float64     `json:"mass"`   // mean probability that the reference's lists have together
	KL        float64     `json:"kl"`     // mean, nats a row, of the listed tokens and the remainder: a lower bound
	KLMax     float64     `json:"kl_max"` // of the same
	NonFinite int         `json:"non_finite"`
	Worst     ListedPlace `json:"worst"` // of Max
	First     *Divergence `json:"first_divergence"`
}

// Figures sums up.
func (l *Listed) Figures() ListedFigures {
	f := ListedFigures{
		Rows: l.rows, Equal: l.equal, Values: l.values, Least: l.least, Most: l.most,
		Max: l.max, KLMax: l.klMax, NonFinite: l.lost, Worst: l.worst, First: l.first,
	}
	if l.values > 0 {
		f.Mean = l.abs / float64(l.values)
	}
	if n := float64(l.rows); n > 0 {
		f.Agreement, f.KL, f.Mass = float64(l.equal)/n, bounded(l.kl/n), l.mass/n
	}
	return f
}
