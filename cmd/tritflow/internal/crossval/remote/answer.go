package remote

import (
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// Answer is what a server said to a prompt.
type Answer struct {
	Tokens    []int32 // generated, greedily
	Tokenized []int32 // the prompt's ids by the server's own tokenizer; nil where it does not tell
	Rows      []Row   // by ascending position
	PrefillTS float64 // tokens a second; 0 = unknown
	DecodeTS  float64
}

// Row is what a server says about the token after a position.
type Row struct {
	Position int       `json:"position"` // of the last token before it: 0 is the prompt's first
	IDs      []int32   `json:"ids"`      // the likeliest tokens, and the one that follows
	LogProbs []float64 `json:"logprobs"` // natural logarithms
}

// Impossible is a log-probability at and below which servers mean zero: vLLM
// writes -9999, llama.cpp the lowest float32.
const Impossible = -9000

// entry is a token with its probability, as llama.cpp and OpenAI's chat write it.
type entry struct {
	ID       *int32   `json:"id"`
	Token    string   `json:"token"`
	TokStr   string   `json:"tok_str"` // older llama.cpp
	Content  string   `json:"content"` // of a row of older llama.cpp
	Bytes    []int    `json:"bytes"`
	LogProb  *float64 `json:"logprob"`
	Prob     *float64 `json:"prob"`
	Top      []entry  `json:"top_logprobs"`
	TopProbs []entry  `json:"top_probs"`
	Probs    []entry  `json:"probs"` // older llama.cpp
}

// listed are the likeliest tokens under any of their names.
func (e *entry) listed() []entry {
	switch {
	case len(e.Top) > 0:
		return e.Top
	case len(e.TopProbs) > 0:
		return e.TopProbs
	}
	return e.Probs
}

// text is the token's text; raw is set where it is known to the byte.
func (e *entry) text() (s string, raw bool) {
	if len(e.Bytes) > 0 {
		b := make([]byte, len(e.Bytes))
		for i, x := range e.Bytes {
			b[i] = byte(x)
		}
		return string(b), true
	}
	for _, s := range []string{e.Token, e.TokStr, e.Content} {
		if s != "" {
			return s, false
		}
	}
	return "", false
}

// logProb is the logarithm of the probability, however it is written.
func (e *entry) logProb() (float64, bool) {
	switch {
	case e.LogProb != nil:
		return *e.LogProb, true
	case e.Prob != nil && *e.Prob > 0:
		return math.Log(*e.Prob), true
	case e.Prob != nil:
		return Impossible, true
	}
	return 0, false
}

// add puts a token into a row; the first of two is kept.
func (r *Row) add(id int32, logProb float64) {
	if !slices.Contains(r.IDs, id) {
		r.IDs, r.LogProbs = append(r.IDs, id), append(r.LogProbs, logProb)
	}
}

// row makes a row of an entry and its list.
func (c *Client) row(url string, position int, e *entry) (Row, error) {
	r := Row{Position: position}
	list, lost := e.listed(), math.Inf(-1)
	for i := range list {
		p, ok := list[i].logProb()
		if !ok {
			return r, &AnswerError{url, fmt.Sprintf("a token of position %d has no probability", position), ErrNoLogProbs}
		}
		if id, ok := c.names.entry(&list[i]); ok {
			r.add(id, p)
		} else {
			lost = math.Max(lost, p)
		}
	}
	return c.names.certain(r, lost), nil
}

// check refuses what contradicts itself or is of another model.
func (c *Client) check(url string, p Prompt, a *Answer) error {
	size := c.opt.Vocab.Size()
	inside := func(what string, ids []int32) error {
		for _, id := range ids {
			if id < 0 || int(id) >= size {
				return &VocabularyError{url, fmt.Sprintf("%s has token %d, this model has %d tokens", what, id, size)}
			}
		}
		return nil
	}
	if err := inside("the answer", a.Tokens); err != nil {
		return err
	}
	if len(a.Rows) == 0 && len(a.Tokens) > 0 {
		return &AnswerError{url, "was it asked for an interface that gives them, and are they switched on?", ErrNoLogProbs}
	}
	for _, r := range a.Rows {
		if err := inside(fmt.Sprintf("position %d", r.Position), r.IDs); err != nil {
			return err
		}
		if r.Position < 0 || r.Position >= len(p.Tokens)+len(a.Tokens) {
			return &AnswerError{url, fmt.Sprintf("tells of position %d, and there are %d", r.Position, len(p.Tokens)+len(a.Tokens)), nil}
		}
		if err := r.Check(); err != nil {
			return &AnswerError{url, fmt.Sprintf("position %d: %v", r.Position, err), nil}
		}
	}
	return nil
}

// Check refuses what are no log-probabilities.
func (r *Row) Check() error {
	if len(r.IDs) != len(r.LogProbs) {
		return fmt.Errorf("%d tokens with %d log-probabilities", len(r.IDs), len(r.LogProbs))
	}
	sum := 0.0
	for _, p := range r.LogProbs {
		if p-p != 0 || p > 1e-3 {
			return fmt.Errorf("%v is no log-probability", p)
		}
		sum += math.Exp(p)
	}
	if sum > 1.01 {
		return fmt.Errorf("the listed probabilities add up to %.4g, more than 1", sum)
	}
	return nil
}

// greedy tells whether every generated token is the likeliest of its row.
func (a *Answer) greedy(given int) bool {
	for _, r := range a.Rows {
		if i := r.Position + 1 - given; i >= 0 && i < len(a.Tokens) {
			if _, short := r.Short(a.Tokens[i]); short > 1e-6 {
				return false
			}
		}
	}
	return true
}

// Short is the likeliest of a row's tokens, and by how much a token falls short
// of it: infinitely, where it is not listed.
func (r *Row) Short(id int32) (best int32, short float64) {
	top, short := 0, math.Inf(1)
	for i, p := range r.LogProbs {
		if p > r.LogProbs[top] {
			top = i
		}
	}
	if i := slices.Index(r.IDs, id); i >= 0 {
		short = r.LogProbs[top] - r.LogProbs[i]
	}
	return r.IDs[top], short
}

// complete tells after which of the tokens the text is whole UTF-8.
func (c *Client) complete(ids []int32) []bool {
	whole := make([]bool, len(ids))
	var text []byte
	for i, id := range ids {
		text = append(text, c.opt.Vocab.Piece(id, true)...)
		for len(text) > 0 {
			r, n := utf8.DecodeRune(text)
			if r == utf8.RuneError && n == 1 && !utf8.FullRune(text) {
				break
			}
			text = text[n:]
		}
		whole[i] = len(text) == 0
	}
	return whole
}

// sizeOf bounds an answer about so many positions: what a token takes in any
// dialect, with its bytes as numbers.
func (c *Client) sizeOf(positions int) int64 {
	const token, most = 1 << 10, 1 << 29
	return min(1<<20+int64(positions)*int64(c.opt.Top+2)*token, most)
}

// speed is tokens a second since a moment.
func speed(tokens int, since time.Time) float64 {
	if s := time.Since(since).Seconds(); s > 0 {
		return float64(tokens) / s
	}
	return 0
}
