package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"tritflow/gguf/vocab"
)

// extras are fields of several servers; each leaves out those that it does not
// know, or refuses them all. Penalties for repetition are on by default in
// llama-cpp-python, and may be in vLLM by a model's generation_config.json.
var extras = map[string]any{
	"return_tokens_as_token_ids": true,  // vLLM: ids instead of texts
	"repetition_penalty":         1,     // vLLM
	"repeat_penalty":             1,     // llama.cpp, llama-cpp-python
	"cache_prompt":               false, // llama.cpp
}

// isExtra tells whether a refusal names one of the extras.
func isExtra(said string) bool {
	for name := range extras {
		if strings.Contains(said, name) {
			return true
		}
	}
	return false
}

// request asks, and asks again without what the server refuses.
func (o *openai) request(ctx context.Context, url string, p Prompt, n int) (*choices, error) {
	var refused error
	for {
		body := map[string]any{"prompt": p.Tokens, "max_tokens": n, "temperature": 0, "logprobs": o.top, "presence_penalty": 0, "frequency_penalty": 0, "top_p": 1}
		if o.model != "" {
			body["model"] = o.model
		}
		if !o.can.ids {
			text, err := o.text(p)
			switch {
			case err != nil && (refused == nil || strings.Contains(refused.Error(), "prompt")):
				return nil, err
			case err != nil:
				return nil, refused
			}
			body["prompt"] = text
		}
		if o.can.echo {
			body["echo"] = true
		}
		if o.can.extra {
			maps.Copy(body, extras)
		}
		var got choices
		err := o.ask(ctx, http.MethodPost, url, body, &got, o.sizeOf(len(p.Tokens)+n))
		if err == nil || !o.without(err) {
			return &got, err
		}
		refused = err
	}
}

// without leaves out what a refusal is about, or, where it does not tell, one
// thing after the other; false when there is nothing left, or the refusal has
// another reason.
func (o *openai) without(err error) bool {
	var s *StatusError
	if !errors.As(err, &s) {
		return false
	}
	said := strings.ToLower(s.Message)
	echo := o.can.echo && strings.Contains(said, "echo")
	switch {
	case s.Status >= 500 && (echo || strings.Contains(said, "validation error")): // older llama.cpp; llama-cpp-python
	case s.Status != http.StatusBadRequest && s.Status != http.StatusUnprocessableEntity:
		return false
	}
	switch {
	case echo:
		o.drop(&o.can.echo)
	case o.can.extra && (strings.Contains(said, "unrecognized") || isExtra(said)):
		o.can.extra = false
	case o.top > 5 && strings.Contains(said, "logprobs"):
		o.top = 5
		o.note("the server refuses %d log-probabilities a position: 5 are compared", o.opt.Top)
	case o.can.ids && strings.Contains(said, "prompt"):
		o.drop(&o.can.ids)
	case o.can.extra:
		o.can.extra = false
	case o.can.echo:
		o.drop(&o.can.echo)
	case o.can.ids:
		o.drop(&o.can.ids)
	default:
		return false
	}
	return true
}

func (o *openai) drop(feature *bool) {
	*feature = false
	if feature == &o.can.ids {
		o.note("the server takes no prompts of token ids: they are sent as texts, which it tokenizes itself")
	}
}

// text is a prompt as text that becomes the same tokens again.
func (o *openai) text(p Prompt) (string, error) {
	if p.Text != "" {
		return p.Text, nil
	}
	v, ids := o.opt.Vocab, p.Tokens
	if bos, ok := v.BOS(); ok && v.AddBOS() && ids[0] == bos {
		ids = ids[1:]
	}
	text := v.Decode(ids, true)
	if !slices.Equal(v.Encode(text, vocab.EncodeOptions{AddSpecial: true, ParseSpecial: true}), p.Tokens) {
		return "", &AddressError{o.opt.Address, fmt.Sprintf("it takes texts alone, and the prompt %v is no text's tokens: leave that prompt out", p.Tokens)}
	}
	return text, nil
}
