package remote

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// openai speaks POST /v1/completions as vLLM, llama.cpp, llama-cpp-python and
// others have it. With logprobs: N a choice has (OpenAI, "Create completion")
//
//	"logprobs": {"tokens": […], "token_logprobs": […], "top_logprobs": [{TEXT: LOGPROB, …}, …], "text_offset": […]}
//
// where echo: true puts the prompt's tokens first, the very first with null.
// vLLM writes texts as "token_id:N" if return_tokens_as_token_ids is set, and
// -9999 for minus infinity (vllm/entrypoints/openai/completion). llama.cpp answers
// in the form of the chat interface, {"content": [entries with ids]}, and refuses
// echo. What a server refuses is left out of the next request.
type openai struct {
	*Client
	can features
	top int
}

// features are what not every server understands.
type features struct {
	ids   bool // prompts as token ids
	echo  bool // the prompt's log-probabilities
	extra bool // what OpenAI does not know
}

// choices is what is read of the answer.
type choices struct {
	Choices []struct {
		Text     string    `json:"text"`
		LogProbs *logProbs `json:"logprobs"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
}

type logProbs struct {
	Tokens  []string   `json:"tokens"`
	Chosen  []*float64 `json:"token_logprobs"`
	Top     []pairs    `json:"top_logprobs"`
	Content []entry    `json:"content"` // the form of the chat interface
}

func (o *openai) complete(ctx context.Context, p Prompt, n int) (*Answer, error) {
	url := o.base.openai + "/completions"
	began := time.Now()
	got, err := o.request(ctx, url, p, n)
	if err != nil {
		return nil, err
	}
	if len(got.Choices) != 1 || got.Choices[0].LogProbs == nil {
		return nil, &AnswerError{url, "was it started so that it gives them?", ErrNoLogProbs}
	}
	a, lp := &Answer{}, got.Choices[0].LogProbs
	if len(lp.Content) > 0 {
		err = o.content(url, p, a, lp.Content)
	} else {
		err = o.lists(url, p, a, lp, got)
	}
	if err != nil {
		return nil, err
	}
	if o.can.echo && !a.greedy(len(p.Tokens)) {
		// llama-cpp-python does so with models that begin no text with a token of their own.
		o.can.echo = false
		o.note("with the prompt sent back, the server's log-probabilities are not those of the tokens beside them: only answers are compared")
		return o.complete(ctx, p, n)
	}
	if u := got.Usage; u != nil && !o.can.ids && a.Tokenized == nil && u.Prompt != len(p.Tokens) && u.Prompt > 0 {
		return nil, &VocabularyError{url, fmt.Sprintf("the prompt %q has %d tokens there and %d here", p.Text, u.Prompt, len(p.Tokens))}
	}
	a.DecodeTS = speed(len(a.Tokens), began)
	o.note("the reference's decode speed is tokens over the time of whole requests, with the prompt and the way there and back")
	return a, o.check(url, p, a)
}

// content reads entries with ids, which are of generated tokens alone.
func (o *openai) content(url string, p Prompt, a *Answer, rows []entry) error {
	l := &native{Client: o.Client}
	return l.rows(url, p, a, rows, len(rows))
}

// lists reads OpenAI's four lists.
func (o *openai) lists(url string, p Prompt, a *Answer, lp *logProbs, got *choices) error {
	total := len(lp.Tokens)
	if total == 0 && got.Choices[0].Text == "" {
		return nil // the end at once
	}
	if total == 0 || len(lp.Top) == 0 {
		return &AnswerError{url, "", ErrNoLogProbs}
	}
	if len(lp.Top) != total || len(lp.Chosen) != total {
		return &AnswerError{url, fmt.Sprintf("it lists %d tokens with %d and %d log-probabilities", total, len(lp.Chosen), len(lp.Top)), nil}
	}
	echoed := 0
	if u := got.Usage; o.can.echo && u != nil && u.Completion >= 0 && u.Completion <= total {
		echoed = total - u.Completion
	} else if o.can.echo {
		echoed = o.begins(p, lp.Tokens)
	}
	shift := o.echo(p, a, lp.Tokens[:echoed])
	for j := range total {
		at := j + shift // among all tokens, ours
		if j >= echoed {
			at = len(p.Tokens) + j - echoed
			id, ok, err := o.chosen(url, lp.Tokens[j])
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			a.Tokens = append(a.Tokens, id)
		} else if shift < 0 {
			continue
		}
		if lp.Top[j] == nil || at == 0 {
			continue
		}
		r := o.names.row(at-1, lp.Top[j])
		if chosen := lp.Chosen[j]; chosen != nil {
			id := int32(0)
			if j >= echoed {
				id = a.Tokens[j-echoed]
			} else {
				id = p.Tokens[at]
			}
			if len(r.IDs) > 0 {
				r.add(id, *chosen)
			}
		}
		if len(r.IDs) > 0 {
			a.Rows = append(a.Rows, r)
		}
	}
	return o.foreign(url, lp.Top)
}

// begins tells how many texts are the prompt's, all of them or none, where the
// server does not count.
func (o *openai) begins(p Prompt, texts []string) int {
	for _, shift := range []int{0, 1} {
		n := len(p.Tokens) - shift
		if n > 0 && n <= len(texts) && o.same(p, texts[:n], shift) {
			return n
		}
	}
	return 0
}

// same tells whether texts may be the prompt's tokens, after so many of them.
func (o *openai) same(p Prompt, texts []string, shift int) bool {
	bos, ok := o.opt.Vocab.BOS()
	if shift != 0 && (shift != 1 || !ok || p.Tokens[0] != bos) {
		return false
	}
	for j, text := range texts {
		if !slices.Contains(o.names.of(text), p.Tokens[j+shift]) {
			return false
		}
	}
	return true
}

// echo finds where the prompt that came back begins in ours: 0, or 1 where the
// server leaves out the token that begins every text. −1: it is not the same,
// and nothing of it is compared.
func (o *openai) echo(p Prompt, a *Answer, texts []string) (shift int) {
	if len(texts) == 0 {
		return -1
	}
	if shift = len(p.Tokens) - len(texts); o.same(p, texts, shift) {
		return shift
	}
	var theirs []int32
	for _, text := range texts {
		if all := o.names.of(text); len(all) > 0 {
			theirs = append(theirs, all[0])
		}
	}
	if len(theirs) == len(texts) {
		a.Tokenized = o.withBOS(p, theirs)
	} else {
		o.note("the prompt that the server sends back has texts that are no tokens of this model: only answers are compared")
	}
	return -1
}

// chosen finds the id of a generated token. Where it may be several, what comes
// after it cannot be compared.
func (o *openai) chosen(url, text string) (id int32, ok bool, err error) {
	all := o.names.of(text)
	switch {
	case text == "": // a control token, whose text servers leave out
		o.note("the server has generated a token that it writes as no text: that answer is compared up to there")
		return 0, false, nil
	case len(all) == 1:
		return all[0], true, nil
	case len(all) == 0:
		return 0, false, &VocabularyError{url, fmt.Sprintf("it has generated %q, which is no token of this model", text)}
	}
	o.note("the server names tokens by their text, and %q may be one of several: that answer is compared up to there", text)
	return 0, false, nil
}

// foreign refuses a server that lists mostly what this model does not have.
func (o *openai) foreign(url string, top []pairs) error {
	all, strange := 0, 0
	for _, list := range top {
		for _, e := range list {
			all++
			if e.text != "" && len(o.names.of(e.text)) == 0 {
				strange++
			}
		}
	}
	if 2*strange > all {
		return &VocabularyError{url, fmt.Sprintf("of %d texts that it lists %d are no tokens of this model", all, strange)}
	}
	return nil
}
