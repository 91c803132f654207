package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"tritflow/stages"
)

// answer is one prompt under way. follow collects its text on a goroutine of
// its own; print shows it when its turn has come, live from then on.
type answer struct {
	index  int
	prompt string
	done   chan struct{} // closed when the request has ended
	err    error         // why it failed; valid after done
	result stages.Result // valid after done
	ids    []int32       // of the prompt; valid after done

	mu       sync.Mutex
	text     strings.Builder
	live     *output // nil until it is this answer's turn
	writeErr error
}

func newAnswer(index int, prompt string) *answer {
	return &answer{index: index, prompt: prompt, done: make(chan struct{})}
}

// follow reads the stream to its end. It takes the result of Submit, so err may
// say that there is no stream.
func (ans *answer) follow(stream *stages.Stream, err error) {
	defer close(ans.done)
	if err != nil {
		ans.err, ans.result.Finish = err, stages.FinishError
		return
	}
	ans.ids = stream.Prompt()
	for t, err := range stream.Tokens() {
		if err != nil {
			ans.err = err
		}
		if !ans.add(t.Text) {
			break // nobody listens any more
		}
	}
	ans.result = stream.Result()
	if ans.result.Finish == stages.FinishTimeout {
		ans.err = &timeoutError{len(ans.result.Tokens), ans.err}
	}
}

// timeoutError: --timeout was over before the answer ended.
type timeoutError struct {
	tokens int
	err    error
}

func (e *timeoutError) Error() string {
	return fmt.Sprintf("the time given with --timeout was over after %d tokens: raise it, or ask for fewer with -n", e.tokens)
}

func (e *timeoutError) Unwrap() error { return e.err }

// add appends text and, when it is this answer's turn, prints it.
func (ans *answer) add(text string) bool {
	ans.mu.Lock()
	defer ans.mu.Unlock()
	ans.text.WriteString(text)
	if ans.live != nil && ans.writeErr == nil && text != "" {
		ans.writeErr = ans.live.print(text)
	}
	return ans.writeErr == nil
}

// print shows the answer and waits for its end.
func (ans *answer) print(out *output, asJSON bool, load time.Duration) error {
	if asJSON {
		<-ans.done
		return out.json(ans.record(load), false)
	}
	ans.mu.Lock()
	err := out.print(ans.text.String())
	ans.live = out
	ans.mu.Unlock()
	if err != nil {
		return err
	}
	<-ans.done
	if ans.writeErr != nil {
		return ans.writeErr
	}
	if ans.err != nil && ans.text.Len() == 0 {
		return nil // there is no answer
	}
	return out.print("\n")
}

// record is the line that --json prints for an answer.
type record struct {
	Index        int     `json:"index"`
	Prompt       string  `json:"prompt"`
	Text         string  `json:"text"`
	Tokens       []int32 `json:"tokens"`
	FinishReason string  `json:"finish_reason"`
	Usage        usage   `json:"usage"`
	Timings      timings `json:"timings"`
	Error        string  `json:"error,omitempty"`
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
}

// timings: a rate that cannot be given is null.
type timings struct {
	LoadMS       float64  `json:"load_ms"`
	PrefillTokS  *float64 `json:"prefill_tok_s"`
	DecodeTokS   *float64 `json:"decode_tok_s"`
	FirstTokenMS *float64 `json:"first_token_ms"`
}

func (ans *answer) record(load time.Duration) record {
	r := ans.result
	rec := record{
		Index:        ans.index,
		Prompt:       ans.prompt,
		Text:         ans.text.String(),
		Tokens:       r.Tokens,
		FinishReason: string(r.Finish),
		Usage:        usage{PromptTokens: r.PromptTokens, CompletionTokens: len(r.Tokens)},
		Timings:      timingsOf(r, load),
	}
	if rec.Tokens == nil {
		rec.Tokens = []int32{} // an empty list, not null
	}
	if ans.err != nil {
		rec.Error = ans.err.Error()
	}
	return rec
}

// timingsOf gives the rates of a request: prompt tokens until the first token
// was there, and the tokens after the first in the time after it.
func timingsOf(r stages.Result, load time.Duration) timings {
	t := timings{LoadMS: milliseconds(load)}
	if r.FirstToken > 0 {
		first := milliseconds(r.FirstToken)
		t.FirstTokenMS = &first
		t.PrefillTokS = rate(r.PromptTokens, r.Prefill)
		t.DecodeTokS = rate(len(r.Tokens)-1, r.Decode)
	}
	return t
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// rate is n per second, or nil when there is nothing to divide.
func rate(n int, d time.Duration) *float64 {
	if n <= 0 || d <= 0 {
		return nil
	}
	r := float64(n) / d.Seconds()
	return &r
}
