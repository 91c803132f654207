package sample

import (
	"fmt"
	"math"
)

// defaultLastN is how far penalties look back unless told.
const defaultLastN = 64

// Params of one request. The zero value is greedy.
type Params struct {
	Temperature float32 // 0 = greedy
	TopK        int     // 0 = off
	TypicalP    float32 // 0 or 1 = off
	TopP        float32 // 1 = off; must be set when Temperature is not 0
	MinP        float32 // 0 = off
	Repeat      float32 // 0 or 1 = off
	Frequency   float32
	Presence    float32
	LastN       int  // tokens that penalties look back on; 0 = 64
	AnswerOnly  bool // penalties look back on the answer and not on its prompt
	Seed        uint64
}

// ParamError names a sampling parameter that is outside its range.
type ParamError struct {
	Param  string  // name of the field of Params
	Value  float64 // what was given
	Reason string  // the range, and what to do
}

func (e *ParamError) Error() string {
	return fmt.Sprintf("sample: %s = %v: %s", e.Param, e.Value, e.Reason)
}

// mostPenalty bounds penalties: with much larger ones logits would not stay finite.
const mostPenalty = 1e6

// Validate refuses values outside their range, NaN and infinities with a
// *ParamError. TopP 0 is accepted only with Temperature 0, where nothing is
// drawn.
func (p Params) Validate() error {
	const subtracted = "must be between -1e6 and 1e6 (0 = off)"
	for _, c := range []struct {
		name   string
		value  float64
		ok     bool
		reason string
	}{
		{"Temperature", float64(p.Temperature), p.Temperature >= 0, "must be 0 (greedy) or greater"},
		{"TopK", float64(p.TopK), p.TopK >= 0, "must be 0 (off) or greater"},
		{"TypicalP", float64(p.TypicalP), p.TypicalP >= 0 && p.TypicalP <= 1, "must be between 0 and 1 (0 or 1 = off)"},
		{"TopP", float64(p.TopP), p.TopP > 0 && p.TopP <= 1 || p.TopP == 0 && p.Temperature == 0, "must be greater than 0 and at most 1 (1 = off)"},
		{"MinP", float64(p.MinP), p.MinP >= 0 && p.MinP <= 1, "must be between 0 (off) and 1"},
		{"Repeat", float64(p.Repeat), p.Repeat == 0 || p.Repeat >= 1/mostPenalty && p.Repeat <= mostPenalty, "must be between 1e-6 and 1e6 (1 = off)"},
		{"Frequency", float64(p.Frequency), math.Abs(float64(p.Frequency)) <= mostPenalty, subtracted},
		{"Presence", float64(p.Presence), math.Abs(float64(p.Presence)) <= mostPenalty, subtracted},
		{"LastN", float64(p.LastN), p.LastN >= 0, "must be 0 (the last 64 tokens) or greater"},
	} {
		if !c.ok || math.IsNaN(c.value) || math.IsInf(c.value, 0) {
			return &ParamError{Param: c.name, Value: c.value, Reason: c.reason}
		}
	}
	return nil
}

// mostCandidates is how many candidates are worth asking for instead of the
// full row.
const mostCandidates = 4096

// Need is what the head must answer: the topK largest logits, or the full row.
// logprobs is what will be passed to Sample; log-probabilities need every logit.
//
// Greedy needs one candidate and top-k sampling k: the cuts after top-k see
// nothing else. Penalties that only lower logits (Repeat ≥ 1, Frequency and
// Presence ≥ 0) need one more for every token that they may touch, LastN at
// most: of the k+LastN first tokens at least k keep their logits, so a token
// behind all of these, which may be lowered but not raised, is not among the k
// first afterwards either. Penalties that raise logits, and drawing without
// top-k, need the full row.
func (p Params) Need(logprobs int) (topK int, full bool) {
	switch {
	case p.Temperature == 0:
		topK = 1
	case p.TopK > 0:
		topK = p.TopK
	default:
		return 0, true
	}
	if p.penalizes() {
		if p.repeat() < 1 || p.Frequency < 0 || p.Presence < 0 || p.lastN() > mostCandidates {
			return 0, true
		}
		topK = min(topK, mostCandidates) + p.lastN() // which may be as large as an int
	}
	if logprobs >= 0 || topK > mostCandidates {
		return 0, true
	}
	return topK, false
}

func (p Params) penalizes() bool {
	return p.repeat() != 1 || p.Frequency != 0 || p.Presence != 0
}

func (p Params) repeat() float32 {
	if p.Repeat == 0 {
		return 1
	}
	return p.Repeat
}

func (p Params) lastN() int {
	if p.LastN == 0 {
		return defaultLastN
	}
	return p.LastN
}
