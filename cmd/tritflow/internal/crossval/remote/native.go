package remote

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// native speaks llama.cpp's own interface.
//
// POST /completion takes a prompt of token ids and answers, with n_probs, one
// entry a generated token in completion_probabilities (llama.cpp,
// tools/server/README.md):
//
//	{"id", "token", "bytes", "logprob", "top_logprobs": [{"id", "token", "bytes", "logprob"}, …]}
//
// These are log-probabilities before sampling (llama.cpp pull request 10783).
// Until December 2024 it wrote instead (issue 4088)
//
//	{"content", "probs": [{"tok_str", "prob"}, …]}
//
// which has no ids and, at temperature 0, probability 1 for the token that was
// drawn; there a temperature below 0 is greedy and tells the model's
// probabilities.
type native struct {
	*Client
	temperature float64
}

// completion is what is read of the answer.
type completion struct {
	Tokens    []int32 `json:"tokens"`
	Rows      []entry `json:"completion_probabilities"`
	Probs     []entry `json:"probs"` // as the README calls them
	Truncated any     `json:"truncated"`
	Timings   struct {
		PromptN     float64 `json:"prompt_n"`
		PromptMS    float64 `json:"prompt_ms"`
		PredictedN  float64 `json:"predicted_n"`
		PredictedMS float64 `json:"predicted_ms"`
	} `json:"timings"`
}

func (l *native) complete(ctx context.Context, p Prompt, n int) (*Answer, error) {
	url := l.base.native + "/completion"
	got, err := l.request(ctx, url, p, n)
	if err != nil {
		return nil, err
	}
	if l.temperature == 0 && degenerate(got.Rows) {
		l.temperature = -1
		if got, err = l.request(ctx, url, p, n); err != nil {
			return nil, err
		}
	}
	if got.Truncated == true {
		return nil, &AnswerError{url, fmt.Sprintf("its context is too small for %d tokens and %d more: start it with a larger one (-c)", len(p.Tokens), n), nil}
	}
	a := &Answer{Tokens: got.Tokens}
	if t := &got.Timings; t.PromptMS > 0 {
		a.PrefillTS = 1000 * t.PromptN / t.PromptMS
	}
	if t := &got.Timings; t.PredictedMS > 0 {
		a.DecodeTS = 1000 * t.PredictedN / t.PredictedMS
	}
	if err := l.rows(url, p, a, got.Rows, n); err != nil {
		return nil, err
	}
	if err := l.check(url, p, a); err != nil {
		return nil, err
	}
	return a, l.tokenize(ctx, p, a)
}

func (l *native) request(ctx context.Context, url string, p Prompt, n int) (*completion, error) {
	body := map[string]any{
		"prompt": p.Tokens, "n_predict": n, "n_probs": l.opt.Top, "temperature": l.temperature,
		"cache_prompt": false, "return_tokens": true, "stream": false, "post_sampling_probs": false,
		// What the server was started with must not change what is greedy.
		"samplers": []string{"top_k", "temperature"}, "top_k": 0, "seed": 0,
		"repeat_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0, "mirostat": 0, "logit_bias": []any{}, "grammar": "",
	}
	if l.opt.Model != "" {
		body["model"] = l.opt.Model
	}
	var got completion
	if err := l.ask(ctx, "POST", url, body, &got, l.sizeOf(len(p.Tokens)+n)); err != nil {
		return nil, err
	}
	if len(got.Rows) == 0 {
		got.Rows = got.Probs
	}
	return &got, nil
}

// degenerate tells the older form at temperature 0: 1 and zeros.
func degenerate(rows []entry) bool {
	for _, r := range rows {
		for i, e := range r.Probs {
			if e.Prob == nil || *e.Prob != 0 && (i > 0 || *e.Prob != 1) {
				return false
			}
		}
	}
	return len(rows) > 0 && len(rows[0].Probs) > 1
}

// rows puts probabilities beside the generated tokens. The last row may be of the
// end token, which is not always among the tokens; a token after which the text is
// not whole UTF-8 has no row.
func (l *native) rows(url string, p Prompt, a *Answer, rows []entry, n int) error {
	if len(a.Tokens) == 0 {
		var err error
		if rows, err = l.drawn(url, a, rows); err != nil {
			return err
		}
	}
	place := make([]int, 0, len(rows)) // of each row, which generated token it is about
	for i := range len(a.Tokens) {
		place = append(place, i)
	}
	if len(rows) < len(a.Tokens) {
		whole := l.Client.complete(a.Tokens)
		place = slices.DeleteFunc(place, func(i int) bool { return !whole[i] })
	}
	if len(rows) == len(place)+1 {
		place = append(place, len(a.Tokens))
	}
	if len(rows) != len(place) && len(rows) > 0 {
		return &AnswerError{url, fmt.Sprintf("it lists probabilities of %d tokens, and has generated %d", len(rows), len(a.Tokens)), nil}
	}
	for k := range rows {
		e, i := &rows[k], place[k]
		if i < len(a.Tokens) {
			id := a.Tokens[i]
			if e.ID != nil && *e.ID != id {
				return &AnswerError{url, fmt.Sprintf("generated token %d is %d, and its probabilities are of token %d", i, id, *e.ID), nil}
			}
			if !l.names.agrees(e, id) {
				text, _ := e.text()
				return &VocabularyError{url, fmt.Sprintf("token %d is %q there and %q here", id, text, l.opt.Vocab.Piece(id, true))}
			}
		}
		if i > n {
			break
		}
		r, err := l.row(url, len(p.Tokens)-1+i, e)
		if err != nil {
			return err
		}
		if len(r.IDs) > 0 {
			a.Rows = append(a.Rows, r)
		}
	}
	return nil
}

// drawn takes the generated tokens from their rows, where a server returns no
// ids, and gives the rows whose place is known.
func (l *native) drawn(url string, a *Answer, rows []entry) ([]entry, error) {
	for i := range rows {
		text, _ := rows[i].text()
		id, ok := l.names.entry(&rows[i])
		switch {
		case ok && len(text) > len(l.opt.Vocab.Piece(id, true)) && l.names.agrees(&rows[i], id),
			!ok && len(l.names.of(text)) == 0 && !isASCII(text):
			// The text begins with bytes of tokens that have no row.
			l.note("the server does not tell of tokens that are parts of a character: answers are compared up to the first")
			return rows[:i], nil
		case ok:
			a.Tokens = append(a.Tokens, id)
		case text == "":
			return rows[:i+1], nil // an end token
		case len(l.names.of(text)) == 0:
			return nil, &VocabularyError{url, fmt.Sprintf("it has generated %q, which is no token of this model", text)}
		default:
			l.note("the server names tokens by their text, and %q may be one of several: that answer is compared up to there", text)
			return rows[:i+1], nil
		}
	}
	return rows, nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// tokenize asks for the prompt's ids by the server's tokenizer.
func (l *native) tokenize(ctx context.Context, p Prompt, a *Answer) error {
	if p.Text == "" {
		return nil
	}
	var got struct {
		Tokens []int32 `json:"tokens"`
	}
	body := map[string]any{"content": p.Text, "add_special": true, "parse_special": true, "with_pieces": false}
	err := l.ask(ctx, "POST", l.base.native+"/tokenize", body, &got, l.sizeOf(len(p.Text)))
	if elsewhere(err) {
		return nil
	}
	if err != nil {
		return err
	}
	a.Tokenized = l.withBOS(p, got.Tokens)
	return nil
}

// withBOS adds the token that begins every text where a server leaves it out.
func (c *Client) withBOS(p Prompt, ids []int32) []int32 {
	if bos, ok := c.opt.Vocab.BOS(); ok && len(p.Tokens) > 1 && p.Tokens[0] == bos && slices.Equal(ids, p.Tokens[1:]) {
		return p.Tokens
	}
	return ids
}
