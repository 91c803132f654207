package openai

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Scored is a token's bytes and the natural log of its probability.
type Scored struct {
	ID      int32
	Bytes   []byte
	Logprob float64
}

// Position is a generated token with the likeliest others in its place, best first.
type Position struct {
	Scored
	Others []Scored
}

// best are the n likeliest tokens of a position; the generated one may be
// among them or not.
func (p *Position) best(n int) []Scored {
	all := slices.Concat([]Scored{p.Scored}, p.Others)
	slices.SortStableFunc(all, func(a, b Scored) int {
		switch {
		case a.Logprob > b.Logprob:
			return -1
		case a.Logprob < b.Logprob:
			return 1
		}
		return int(a.ID) - int(b.ID)
	})
	return all[:min(n, len(all))]
}

// name is a token as text; bytes that are no text are spelt out.
func (s *Scored) name() string {
	if utf8.Valid(s.Bytes) {
		return string(s.Bytes)
	}
	var b strings.Builder
	b.WriteString("bytes:")
	for _, c := range s.Bytes {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

func (s *Scored) list() []int {
	out := make([]int, len(s.Bytes))
	for i, c := range s.Bytes {
		out[i] = int(c)
	}
	return out
}

type chatLogprobs struct {
	Content []chatToken `json:"content"`
	Refusal *string     `json:"refusal"`
}

type chatToken struct {
	scoredToken
	Top []scoredToken `json:"top_logprobs"`
}

type scoredToken struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

func newChatLogprobs(positions []Position, tops int) *chatLogprobs {
	show := func(s Scored) scoredToken { return scoredToken{s.name(), s.Logprob, s.list()} }
	out := &chatLogprobs{Content: []chatToken{}}
	for _, p := range positions {
		t := chatToken{scoredToken: show(p.Scored), Top: []scoredToken{}}
		for _, s := range p.best(tops) {
			t.Top = append(t.Top, show(s))
		}
		out.Content = append(out.Content, t)
	}
	return out
}

type textLogprobs struct {
	Tokens   []string  `json:"tokens"`
	Logprobs []float64 `json:"token_logprobs"`
	Top      []ranking `json:"top_logprobs"`
	Offset   []int     `json:"text_offset"` // characters before the token, from the beginning of the answer
}

// newTextLogprobs: the generated token is always among those of its place.
func newTextLogprobs(positions []Position, tops int) *textLogprobs {
	out := &textLogprobs{Tokens: []string{}, Logprobs: []float64{}, Top: []ranking{}, Offset: []int{}}
	offset := 0
	for _, p := range positions {
		out.Tokens = append(out.Tokens, p.name())
		out.Logprobs = append(out.Logprobs, p.Logprob)
		out.Offset = append(out.Offset, offset)
		for _, b := range p.Bytes {
			if utf8.RuneStart(b) {
				offset++
			}
		}
		var r ranking
		if tops > 0 {
			r = p.best(tops)
			if !slices.ContainsFunc(r, func(s Scored) bool { return s.ID == p.ID }) {
				r = append(r, p.Scored)
			}
		}
		out.Top = append(out.Top, r)
	}
	return out
}

// ranking is an object of tokens and log-probabilities, best first.
type ranking []Scored

// MarshalJSON keeps the order; of tokens with the same text the better stays.
func (r ranking) MarshalJSON() ([]byte, error) {
	if r == nil {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	seen := map[string]bool{}
	b.WriteByte('{')
	for _, s := range r {
		name := s.name()
		if seen[name] {
			continue
		}
		if len(seen) > 0 {
			b.WriteByte(',')
		}
		seen[name] = true
		key, err := encode(name)
		if err != nil {
			return nil, err
		}
		value, err := encode(s.Logprob)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
