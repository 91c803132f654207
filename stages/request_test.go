package stages

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tritflow/gguf/vocab"
	"tritflow/stages/sample"
)

func openBuiltin(t *testing.T, opt Options) *Engine {
	t.Helper()
	e, err := Open(context.Background(), "", opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestRequestErrors(t *testing.T) {
	e := openBuiltin(t, Options{Ctx: 16, Devices: "cpu:1"})
	long := strings.Repeat("one two three ", 20)
	n := len(e.Vocab().Encode(long, vocab.EncodeOptions{AddSpecial: true}))
	for _, c := range []struct {
		name   string
		change func(*Request)
		field  string
		says   []string
	}{
		{"no prompt", func(q *Request) { q.Prompt = "" }, "Prompt", []string{"empty"}},
		{"empty segments", func(q *Request) { q.Prompt, q.Segments = "", make([]vocab.Segment, 2) }, "Segments", []string{"empty"}},
		{"two prompts", func(q *Request) { q.Tokens = []int32{1} }, "Tokens", []string{"exclude"}},
		{"too long", func(q *Request) { q.Prompt = long }, "Prompt", []string{strconv.Itoa(n), "16"}},
		{"id too large", func(q *Request) { q.Prompt, q.Tokens = "", []int32{1, 1536} }, "Tokens", []string{"1536"}},
		{"id negative", func(q *Request) { q.Prompt, q.Tokens = "", []int32{-1} }, "Tokens", []string{"-1"}},
		{"no tokens asked", func(q *Request) { q.MaxTokens = 0 }, "MaxTokens", nil},
		{"negative temperature", func(q *Request) { q.Sampling.Temperature = -0.1 }, "Sampling.Temperature", nil},
		{"nan", func(q *Request) { q.Sampling.MinP = float32(math.NaN()) }, "Sampling.MinP", nil},
		{"top-p 0", func(q *Request) { q.Sampling.Temperature = 1 }, "Sampling.TopP", nil},
		{"top-p above 1", func(q *Request) { q.Sampling.Temperature, q.Sampling.TopP = 1, 1.5 }, "Sampling.TopP", []string{"1.5"}},
		{"top-p negative", func(q *Request) { q.Sampling.Temperature, q.Sampling.TopP = 1, -0.5 }, "Sampling.TopP", nil},
		{"empty stop string", func(q *Request) { q.Stop = []string{"a", ""} }, "Stop[1]", nil},
		{"broken stop string", func(q *Request) { q.Stop = []string{"\xff"} }, "Stop[0]", nil},
		{"stop id", func(q *Request) { q.StopIDs = []int32{1536} }, "StopIDs", nil},
		{"negative logprobs", func(q *Request) { q.Logprobs = -1 }, "Logprobs", nil},
		{"too many logprobs", func(q *Request) { q.Logprobs = 1537 }, "Logprobs", nil},
		{"negative timeout", func(q *Request) { q.Timeout = -time.Second }, "Timeout", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := Request{Prompt: "Hello", MaxTokens: 3}
			c.change(&q)
			_, err := e.Submit(context.Background(), q)
			var re *RequestError
			if !errors.As(err, &re) || re.Field != c.field {
				t.Fatalf("got %v, want an error of %s", err, c.field)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			var pe *sample.ParamError
			if strings.HasPrefix(c.field, "Sampling.") != errors.As(err, &pe) {
				t.Errorf("%v: *sample.ParamError inside: %v", err, pe)
			}
			for _, gerr := range e.Generate(context.Background(), q) {
				if !errors.As(gerr, &re) {
					t.Errorf("Generate: %v", gerr)
				}
			}
		})
	}
	for _, err := range e.Logits(context.Background(), nil, false) {
		var re *RequestError
		if !errors.As(err, &re) {
			t.Errorf("Logits of nothing: %v", err)
		}
	}
}

// TestPromptForms: text, segments and ids mean the same prompt.
func TestPromptForms(t *testing.T) {
	e := openBuiltin(t, Options{Devices: "cpu:1"})
	item := readMini(t).Items[0]
	tmpl, err := e.Vocab().Template()
	if err != nil {
		t.Fatal(err)
	}
	segs, err := tmpl.Render([]vocab.Message{{Role: "user", Content: item.Prompt}}, true)
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]Request{
		"rendered": {Segments: segs},
		"segments": {Segments: []vocab.Segment{{Text: "User: " + item.Prompt}, {Text: "<|eot_id|>", Special: true}, {Text: "Assistant: "}}},
		"ids":      {Tokens: item.IDs},
	} {
		ids, err := e.core.encode(&q, 100)
		if err != nil || !slices.Equal(ids, item.IDs) {
			t.Errorf("%s: %v, %v; want %v", name, ids, err, item.IDs)
		}
	}
	q := Request{Prompt: "a<|eot_id|>"}
	with, err := e.core.encode(&q, 100)
	if err != nil {
		t.Fatal(err)
	}
	q.NoSpecial = true
	without, err := e.core.encode(&q, 100)
	if err != nil {
		t.Fatal(err)
	}
	if eot := int32(2); !slices.Contains(with, eot) || slices.Contains(without, eot) {
		t.Errorf("special tokens in a prompt: %v, %v", with, without)
	}
}
