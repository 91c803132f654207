package sample

import (
	"errors"
	"slices"
	"sync"

	"tritflow/device"
	"tritflow/quantkern"
)

// ErrScores is matched by errors about answers of a head that a sampler cannot
// work with: empty ones, or candidates alone where the full row is needed.
var ErrScores = errors.New("sample: unusable scores")

// Sampler is the state of one request: generator and history. Not safe for
// concurrent use.
type Sampler struct {
	p       Params
	rng     mt19937
	history []int32 // the last tokens, a ring once it is full
	oldest  int
	counts  map[int32]int // of the tokens in history
}

// desks lends what a draw needs and nobody does afterwards: some megabytes where
// every logit of a large vocabulary is looked at.
var desks = sync.Pool{New: func() any { return new(candidates) }}

// New makes the sampler of a request; p must have passed Validate.
func New(p Params) *Sampler {
	s := &Sampler{p: p, counts: map[int32]int{}}
	s.rng.seed(p.Seed)
	return s
}

// Accept tells the sampler of a token of the prompt or of the answer.
func (s *Sampler) Accept(id int32) {
	if !s.p.penalizes() {
		return
	}
	s.counts[id]++
	if len(s.history) < s.p.lastN() {
		s.history = append(s.history, id)
		return
	}
	gone := s.history[s.oldest]
	if s.counts[gone]--; s.counts[gone] == 0 {
		delete(s.counts, gone)
	}
	s.history[s.oldest] = id
	s.oldest = (s.oldest + 1) % len(s.history)
}

// Choice is a drawn token and its logit as the head gave it, before penalties and
// temperature. Logprob and Top are natural logs of the untempered softmax of the raw
// logits, filled when logprobs were asked for. Top holds the most probable other
// tokens, best first.
type Choice struct {
	ID      int32
	Logit   float32
	Logprob float64
	Top     []TokenLogprob
}

// TokenLogprob is a token and the natural log of its probability.
type TokenLogprob struct {
	ID      int32
	Logprob float64
}

// Sample draws the next token; it does not Accept it. logprobs says how many
// alternatives to report (-1 = none, 0 = only the drawn one). The full row is
// used when there is one; sc is only read.
func (s *Sampler) Sample(sc device.Scores, logprobs int) (Choice, error) {
	if len(sc.Full) == 0 && len(sc.Top) == 0 {
		return Choice{}, errors.Join(ErrScores, errors.New("sample: the head answered with no logits"))
	}
	if logprobs >= 0 && sc.Full == nil {
		return Choice{}, errors.Join(ErrScores, errors.New("sample: log-probabilities need the full row of logits; ask the head for it (see Params.Need)"))
	}
	choice := Choice{ID: s.pick(sc)}
	choice.Logit = rawLogit(sc, choice.ID)
	if logprobs >= 0 {
		choice.addLogprobs(sc.Full, logprobs)
	}
	return choice, nil
}

// pick runs the chain of the package comment.
func (s *Sampler) pick(sc device.Scores) int32 {
	if s.p.Temperature == 0 && len(s.counts) == 0 && sc.Full != nil {
		return largest(sc.Full)
	}
	c := desks.Get().(*candidates)
	defer desks.Put(c)
	c.load(sc)
	s.penalize(c)
	if c.begin(); s.p.Temperature == 0 {
		return c.at(0).ID
	}
	if s.p.TopK > 0 {
		c.first(s.p.TopK)
	}
	c.typical(s.p.TypicalP)
	c.topP(s.p.TopP)
	c.minP(s.p.MinP)
	return c.draw(s.p.Temperature, &s.rng)
}

// rawLogit is what the head gave for a token that was drawn from its scores.
func rawLogit(sc device.Scores, id int32) float32 {
	if sc.Full != nil {
		return sc.Full[id]
	}
	return sc.Top[slices.IndexFunc(sc.Top, func(c device.Candidate) bool { return c.ID == id })].Logit
}

// largest is the index of the largest logit, the first among equals.
func largest(row []float32) int32 {
	best, top := 0, row[0]
	for i, l := range row {
		if l > top {
			best, top = i, l
		}
	}
	return int32(best)
}

// penalize lowers the logits of tokens that the history holds (repetition
// penalty: Keskar et al. 2019, dividing positive and multiplying negative
// logits; frequency and presence penalties: subtracted).
func (s *Sampler) penalize(c *candidates) {
	if len(s.counts) == 0 {
		return
	}
	lower := func(logit *float32, count int) {
		if *logit <= 0 {
			*logit *= s.p.repeat()
		} else {
			*logit /= s.p.repeat()
		}
		*logit -= float32(float32(count)*s.p.Frequency) + s.p.Presence
	}
	if len(c.row) > 0 {
		for id, count := range s.counts {
			if int(id) < len(c.row) {
				lower(&c.row[id], count)
			}
		}
		return
	}
	for i := range c.list {
		if count := s.counts[c.list[i].ID]; count > 0 {
			lower(&c.list[i].Logit, count)
		}
	}
}

// addLogprobs reports the log-probabilities of the chosen token and of the n
// best others.
func (c *Choice) addLogprobs(full []float32, n int) {
	ids, _ := quantkern.TopK(full, min(n+1, len(full)), nil, nil)
	top := full[ids[0]]
	var sum float64
	for _, l := range full {
		sum += float64(quantkern.Exp(l - top))
	}
	base := float64(top) + float64(quantkern.Log(float32(sum)))
	c.Logprob = float64(full[c.ID]) - base
	for _, id := range ids {
		if id != c.ID && len(c.Top) < n {
			c.Top = append(c.Top, TokenLogprob{id, float64(full[id]) - base})
		}
	}
}
