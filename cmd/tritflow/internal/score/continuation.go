package score

import (
	"context"
	"math"
)

// Continuation is how likely a text is after a prompt.
type Continuation struct {
	Text     string    `json:"text"`
	Tokens   []int32   `json:"tokens"`
	LogProbs []float64 `json:"logprobs"` // natural logarithms, one a token
	LogProb  float64   `json:"logprob"`  // their sum
	Mean     float64   `json:"mean"`     // LogProb / tokens
	Byte     float64   `json:"byte"`     // LogProb / bytes of the text: what compares texts of different lengths
	Greedy   bool      `json:"greedy"`   // every token is the likeliest one
}

// Score gives the log-probabilities of whole[from:], which is text, after
// whole[:from]; from is at least 1.
func Score(ctx context.Context, src Source, whole []int32, from int, text string) (*Continuation, error) {
	if from < 1 || from >= len(whole) {
		return nil, &TextError{"a continuation needs a token of its own and one before it; this vocabulary has no begin token, so the prompt must not be empty"}
	}
	c := &Continuation{Text: text, Tokens: whole[from:], Greedy: true}
	err := predict(ctx, src, whole, from, func(logProb float64, best bool) {
		if math.IsInf(logProb, -1) {
			logProb = -math.MaxFloat32 // JSON has no infinity
		}
		c.LogProbs = append(c.LogProbs, logProb)
		c.LogProb += logProb
		c.Greedy = c.Greedy && best
	})
	if err != nil {
		return nil, err
	}
	c.Mean = c.LogProb / float64(len(c.LogProbs))
	c.Byte = c.LogProb / float64(max(len(text), 1))
	return c, nil
}

// Split finds where a continuation begins when prompt and continuation are
// tokenized as one text: at the first token that the prompt alone does not have
// there.
func Split(prompt, whole []int32) int {
	n := 0
	for n < len(prompt) && n < len(whole) && prompt[n] == whole[n] {
		n++
	}
	return n
}
