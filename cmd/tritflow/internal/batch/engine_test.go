package batch

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"tritflow/cmd/tritflow/internal/batch/openai"
	"tritflow/gguf/vocab"
	"tritflow/stages"
	"tritflow/stages/sample"
)

func builtinEngine(t *testing.T, seqs int) *stages.Engine {
	t.Helper()
	e, err := stages.Open(t.Context(), "", stages.Options{MaxSeqs: seqs, Devices: "cpu:2"})
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

// answered is what an output line says.
type answered struct {
	CustomID string `json:"custom_id"`
	Response struct {
		Status int `json:"status_code"`
		Body   struct {
			Choices []struct {
				Index   int
				Text    string
				Message struct{ Content string }
				Finish  string `json:"finish_reason"`
				Log     struct {
					Tokens   []string
					Logprobs []float64            `json:"token_logprobs"`
					Top      []map[string]float64 `json:"top_logprobs"`
					Offset   []int                `json:"text_offset"`
					Content  []struct {
						Token   string
						Logprob float64
						Bytes   []int
						Top     []struct{ Logprob float64 } `json:"top_logprobs"`
					}
				} `json:"logprobs"`
			}
			Usage struct {
				Prompt     int `json:"prompt_tokens"`
				Completion int `json:"completion_tokens"`
				Total      int `json:"total_tokens"`
			}
			Seed  uint64
			Error struct{ Code, Param, Message, Type string }
		}
	}
}

func parseAnswer(t *testing.T, line []byte) (a answered) {
	t.Helper()
	if err := json.Unmarshal(line, &a); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return a
}

func ask(t *testing.T, e *Engine, line string) (answered, *openai.Fault) {
	t.Helper()
	_, call, fault := openai.Parse([]byte(line), openai.Defaults{MaxTokens: 16, Sampling: sample.Params{TopP: 1}})
	if fault != nil {
		return answered{}, fault
	}
	answer, fault, err := e.Answer(t.Context(), call, openai.Key{1})
	text, usage := answer.Text, answer.Usage
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if fault != nil {
		return answered{}, fault
	}
	a := parseAnswer(t, text)
	if u := a.Response.Body.Usage; u.Prompt != usage.Prompt || u.Completion != usage.Completion || u.Total != u.Prompt+u.Completion || a.Response.Status != 200 {
		t.Errorf("%s: usage %+v, told %+v", line, u, usage)
	}
	return a, nil
}

// TestAnswersAreThoseOfRunningAlone: every choice is what its request gives on
// an engine that does nothing else.
func TestAnswersAreThoseOfRunningAlone(t *testing.T) {
	busy, alone := NewEngine(builtinEngine(t, 8), true), builtinEngine(t, 1)
	template, err := alone.Vocab().Template()
	if err != nil {
		t.Fatal(err)
	}
	type want struct {
		line     string
		requests []stages.Request
	}
	var all []want
	for i := range 24 {
		text := strings.Repeat("there was a dog ", 1+i%9)
		w := want{}
		p := sample.Params{TopP: 1}
		extra := ""
		switch i % 4 {
		case 1:
			p = sample.Params{Temperature: 0.9, TopP: 0.8, MinP: 0.01, TopK: 40, Seed: uint64(i)}
			extra = fmt.Sprintf(`,"temperature":0.9,"top_p":0.8,"min_p":0.01,"top_k":40,"seed":%d`, i)
		case 2:
			extra = `,"stop":"a"`
		}
		n := 1 + i%3
		for k := range n {
			r := stages.Request{MaxTokens: 5 + i, Sampling: p}
			r.Sampling.Seed += uint64(k)
			if i%4 == 2 {
				r.Stop = []string{"a"}
			}
			if i%2 == 0 {
				r.Segments, err = template.Render([]vocab.Message{{Role: "user", Content: text}}, true)
				if err != nil {
					t.Fatal(err)
				}
			} else {
				r.Prompt = text
			}
			w.requests = append(w.requests, r)
		}
		url, prompt := "/v1/completions", fmt.Sprintf(`"prompt":%q`, text)
		if i%2 == 0 {
			url, prompt = "/v1/chat/completions", fmt.Sprintf(`"messages":[{"role":"user","content":%q}]`, text)
		}
		w.line = fmt.Sprintf(`{"custom_id":"%d","url":"%s","body":{%s,"max_tokens":%d,"n":%d%s}}`, i, url, prompt, 5+i, n, extra)
		all = append(all, w)
	}
	var group sync.WaitGroup
	answers := make([]answered, len(all))
	for i, w := range all {
		group.Go(func() { answers[i], _ = ask(t, busy, w.line) })
	}
	group.Wait()
	for i, w := range all {
		choices, tokens := answers[i].Response.Body.Choices, 0
		if len(choices) != len(w.requests) {
			t.Fatalf("%s: %d choices", w.line, len(choices))
		}
		for k, r := range w.requests {
			var text strings.Builder
			s, err := alone.Submit(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			for tok := range s.Tokens() {
				text.WriteString(tok.Text)
			}
			res, c := s.Result(), choices[k]
			tokens += len(res.Tokens)
			if c.Text+c.Message.Content != text.String() || c.Finish != string(res.Finish) || c.Index != k {
				t.Errorf("%s: choice %d is %+v, alone %q %s", w.line, k, c, text.String(), res.Finish)
			}
		}
		if got := answers[i].Response.Body.Usage.Completion; got != tokens {
			t.Errorf("%s: %d completion tokens, alone %d", w.line, got, tokens)
		}
	}
}

func TestLogprobsOfBothShapes(t *testing.T) {
	e := NewEngine(builtinEngine(t, 4), true)
	text, fault := ask(t, e, `{"custom_id":"x","url":"/v1/completions","body":{"prompt":"Once upon","max_tokens":6,"logprobs":3,"ignore_eos":true,"temperature":1.5,"seed":4}}`)
	if fault != nil {
		t.Fatal(fault.Message)
	}
	c := text.Response.Body.Choices[0]
	if len(c.Log.Tokens) != 6 || len(c.Log.Top) != 6 || strings.Join(c.Log.Tokens, "") != c.Text {
		t.Fatalf("%+v", c)
	}
	offset := 0
	for i, tok := range c.Log.Tokens {
		lp, ok := c.Log.Top[i][tok]
		if n := len(c.Log.Top[i]); !ok || lp != c.Log.Logprobs[i] || n < 3 || n > 4 || lp > 0 {
			t.Errorf("token %d: %q %v among %v", i, tok, c.Log.Logprobs[i], c.Log.Top[i])
		}
		if c.Log.Offset[i] != offset {
			t.Errorf("token %d begins at %d, told %d", i, offset, c.Log.Offset[i])
		}
		offset += len([]rune(tok))
		var sum float64
		for _, p := range c.Log.Top[i] {
			sum += math.Exp(p)
		}
		if sum > 1+1e-6 {
			t.Errorf("token %d: the probabilities add up to %v", i, sum)
		}
	}
	chat, fault := ask(t, e, `{"custom_id":"x","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"Hi"}],"max_tokens":5,"logprobs":true,"top_logprobs":2,"ignore_eos":true}}`)
	if fault != nil {
		t.Fatal(fault.Message)
	}
	for i, tok := range chat.Response.Body.Choices[0].Log.Content {
		// Greedy: the generated token is the likeliest.
		if len(tok.Top) != 2 || tok.Top[0].Logprob != tok.Logprob || tok.Top[1].Logprob > tok.Logprob {
			t.Errorf("token %d: %+v", i, tok)
		}
	}
	if n := len(chat.Response.Body.Choices[0].Log.Content); n != 5 {
		t.Errorf("%d tokens", n)
	}
}

func TestWhatTheEngineRefuses(t *testing.T) {
	e := NewEngine(builtinEngine(t, 2), true)
	for _, c := range []struct{ line, code, param string }{
		{fmt.Sprintf(`{"custom_id":"x","url":"/v1/completions","body":{"prompt":%q}}`, strings.Repeat("word ", 2000)), "context_length_exceeded", "prompt"},
		{fmt.Sprintf(`{"custom_id":"x","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":%q}]}}`, strings.Repeat("word ", 2000)), "context_length_exceeded", "messages"},
		{`{"custom_id":"x","url":"/v1/completions","body":{"prompt":[-1]}}`, "invalid_value", "prompt"},
	} {
		_, fault := ask(t, e, c.line)
		if fault == nil || fault.Status != 400 || fault.Code != c.code || fault.Param != c.param {
			t.Errorf("%.80s: %+v", c.line, fault)
		}
	}
}

func TestSeeds(t *testing.T) {
	e := NewEngine(builtinEngine(t, 2), true)
	line := func(id, more string) string {
		return fmt.Sprintf(`{"custom_id":%q,"url":"/v1/completions","body":{"prompt":"One","max_tokens":12,"ignore_eos":true,"temperature":2,"n":2%s}}`, id, more)
	}
	texts := func(a answered) (out []string) {
		for _, c := range a.Response.Body.Choices {
			out = append(out, c.Text)
		}
		return out
	}
	first, _ := ask(t, e, line("a", ""))
	again, _ := ask(t, e, line("a", ""))
	other, _ := ask(t, e, line("b", ""))
	told, _ := ask(t, e, line("c", fmt.Sprintf(`,"seed":%d`, first.Response.Body.Seed)))
	switch got := texts(first); {
	case got[0] == got[1]:
		t.Error("two choices are the same")
	case !slices.Equal(got, texts(again)):
		t.Error("the same line is answered in two ways")
	case slices.Equal(got, texts(other)):
		t.Error("two lines without a seed draw alike")
	case !slices.Equal(got, texts(told)):
		t.Error("the seed that is told does not repeat the answer")
	}
	if told.Response.Body.Seed != 0 {
		t.Error("a seed that was given is told")
	}
}
