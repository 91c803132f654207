package openai

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tritflow/stages/sample"
)

var defaults = Defaults{MaxTokens: 7, Sampling: sample.Params{TopP: 1}, Stop: []string{"END"}}

func TestFaults(t *testing.T) {
	text := func(body string) string {
		return `{"custom_id":"x","method":"POST","url":"/v1/completions","body":{` + body + `}}`
	}
	chat := func(body string) string {
		return `{"custom_id":"x","url":"/v1/chat/completions","body":{` + body + `}}`
	}
	for _, c := range []struct {
		line   string
		status int
		code   string
		param  string
	}{
		{`{`, 0, "invalid_json_line", ""},
		{`[]`, 0, "invalid_json_line", ""},
		{`null`, 0, "invalid_json_line", ""},
		{"{\"custom_id\":\"\xff\"}", 0, "invalid_json_line", ""},
		{strings.Repeat("[", 20000), 0, "invalid_json_line", ""},
		{`{"custom_id":"x"}`, 0, "missing_required_parameter", "url"},
		{`{"custom_id":5,"url":"/v1/completions","body":{"prompt":"x"}}`, 0, "invalid_type", "custom_id"},
		{`{"custom_id":"","url":"/v1/completions","body":{"prompt":"x"}}`, 0, "invalid_value", "custom_id"},
		{`{"url":"/v1/completions","body":{"prompt":"x"}}`, 0, "missing_required_parameter", "custom_id"},
		{`{"custom_id":"x","url":"/v1/completions","body":{"prompt":"x"},"extra":1}`, 0, "unknown_parameter", "extra"},
		{`{"custom_id":"x","method":"GET","url":"/v1/completions","body":{"prompt":"x"}}`, 0, "invalid_method", "method"},
		{`{"custom_id":"x","url":"/v1/edits","body":{}}`, 0, "invalid_url", "url"},
		{`{"custom_id":"x","url":"/v1/completions"}`, 0, "missing_required_parameter", "body"},
		{`{"custom_id":"x","url":"/v1/completions","body":"x"}`, 0, "invalid_type", "body"},
		{text(``), 400, "missing_required_parameter", "prompt"},
		{text(`"prompt":null`), 400, "missing_required_parameter", "prompt"},
		{text(`"prompt":5`), 400, "invalid_type", "prompt"},
		{text(`"prompt":[]`), 400, "invalid_type", "prompt"},
		{text(`"prompt":[null]`), 400, "invalid_type", "prompt"},
		{text(`"prompt":["a",""]`), 400, "invalid_value", "prompt[1]"},
		{text(`"prompt":"x","max_tokens":0`), 400, "invalid_value", "max_tokens"},
		{text(`"prompt":"x","max_tokens":1.5`), 400, "invalid_value", "max_tokens"},
		{text(`"prompt":"x","max_tokens":1e99`), 400, "invalid_value", "max_tokens"},
		{text(`"prompt":"x","max_tokens":[1]`), 400, "invalid_type", "max_tokens"},
		{text(`"prompt":"x","temperature":-1`), 400, "invalid_value", "temperature"},
		{text(`"prompt":"x","temperature":1e999`), 400, "invalid_value", "temperature"},
		{text(`"prompt":"x","top_p":1.1`), 400, "invalid_value", "top_p"},
		{text(`"prompt":"x","min_p":2`), 400, "invalid_value", "min_p"},
		{text(`"prompt":"x","top_k":-2`), 400, "invalid_value", "top_k"},
		{text(`"prompt":"x","seed":"s"`), 400, "invalid_type", "seed"},
		{text(`"prompt":"x","n":0`), 400, "invalid_value", "n"},
		{text(`"prompt":"x","n":129`), 400, "invalid_value", "n"},
		{text(`"prompt":"x","stop":[1]`), 400, "invalid_type", "stop"},
		{text(`"prompt":"x","stop":[""]`), 400, "invalid_value", "stop"},
		{text(`"prompt":"x","logprobs":6`), 400, "invalid_value", "logprobs"},
		{text(`"prompt":"x","echo":true`), 400, "unsupported_parameter", "echo"},
		{text(`"prompt":"x","suffix":"y"`), 400, "unsupported_parameter", "suffix"},
		{text(`"prompt":"x","best_of":3`), 400, "unsupported_parameter", "best_of"},
		{text(`"prompt":"x","stream":true`), 400, "unsupported_parameter", "stream"},
		{text(`"prompt":"x","logit_bias":{"5":1}`), 400, "unsupported_parameter", "logit_bias"},
		{text(`"prompt":"x","presence_penalty":2.5`), 400, "invalid_value", "presence_penalty"},
		{text(`"prompt":"x","frequency_penalty":"1"`), 400, "invalid_type", "frequency_penalty"},
		{text(`"prompt":"x","ignore_eos":1`), 400, "invalid_type", "ignore_eos"},
		{text(`"prompt":"x","messages":[]`), 400, "unknown_parameter", "messages"},
		{chat(``), 400, "missing_required_parameter", "messages"},
		{chat(`"messages":[]`), 400, "invalid_value", "messages"},
		{chat(`"messages":["x"]`), 400, "invalid_type", "messages[0]"},
		{chat(`"messages":[{"role":"user"}]`), 400, "missing_required_parameter", "messages[0].content"},
		{chat(`"messages":[{"content":"x"}]`), 400, "missing_required_parameter", "messages[0].role"},
		{chat(`"messages":[{"role":"tool","content":"x"}]`), 400, "invalid_value", "messages[0].role"},
		{chat(`"messages":[{"role":"user","content":[{"type":"image_url"}]}]`), 400, "invalid_type", "messages[0].content"},
		{chat(`"messages":[{"role":"user","content":"x"}],"top_logprobs":2`), 400, "invalid_value", "top_logprobs"},
		{chat(`"messages":[{"role":"user","content":"x"}],"logprobs":true,"top_logprobs":21`), 400, "invalid_value", "top_logprobs"},
		{chat(`"messages":[{"role":"user","content":"x"}],"tools":[{}]`), 400, "unsupported_parameter", "tools"},
		{chat(`"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}`), 400, "unsupported_parameter", "response_format"},
	} {
		_, call, fault := Parse([]byte(c.line), defaults)
		if call != nil || fault == nil {
			t.Errorf("%.80s was accepted", c.line)
			continue
		}
		if fault.Status != c.status || fault.Code != c.code || fault.Param != c.param || fault.Type != "invalid_request_error" || fault.Message == "" {
			t.Errorf("%.80s: %+v", c.line, fault)
		}
		line, err := fault.Line(Key{}, nil, 3)
		if err != nil || !json.Valid(line) || strings.Contains(string(line), "\n") {
			t.Errorf("%.80s: %s, %v", c.line, line, err)
		}
	}
}

// TestBoundsAreTold: what is too large is not said to be too small.
func TestBoundsAreTold(t *testing.T) {
	for body, want := range map[string]string{
		`"max_tokens":3000000000`: "3000000000 is not between 1 and 2147483647",
		`"max_tokens":0`:          "0 is less than 1",
		`"n":129`:                 "129 is not between 1 and 128",
	} {
		_, _, fault := Parse([]byte(`{"custom_id":"x","url":"/v1/completions","body":{"prompt":"x",`+body+`}}`), defaults)
		if fault == nil || !strings.Contains(fault.Message, want) {
			t.Errorf("%s: %+v", body, fault)
		}
	}
}

func TestWhatIsUnderstood(t *testing.T) {
	parse := func(line string) *Call {
		t.Helper()
		id, call, fault := Parse([]byte(line), defaults)
		if fault != nil || id == nil || *id != call.ID {
			t.Fatalf("%s: %+v", line, fault)
		}
		return call
	}
	c := parse(`{"custom_id":"x","url":"/v1/completions","body":{"prompt":"x"}}`)
	if r := c.Request(0); r.MaxTokens != 7 || r.Sampling.Temperature != 0 || !slices.Equal(r.Stop, []string{"END"}) || r.Logprobs != 0 || c.Requests() != 1 {
		t.Errorf("defaults: %+v", r)
	}
	c = parse(`{"custom_id":"x","url":"/v1/completions","body":{"prompt":[[1,2],[3]],"n":2.0,"max_tokens":3,"temperature":1,"top_p":0,"min_p":0.1,
		"top_k":-1,"seed":-1,"stop":["a","b"],"logprobs":0,"ignore_eos":true,"user":"me","stream":false,"best_of":2,"echo":false,"model":null,"logit_bias":{ }}}`)
	r := c.Request(3)
	if c.Requests() != 4 || c.Prompt(3).Tokens[0] != 3 || c.Prompt(1).Tokens[1] != 2 || r.Logprobs != 1 || !r.IgnoreEOS || r.Sampling.TopK != 0 {
		t.Errorf("%+v %+v", c, r)
	}
	if r.Sampling.Seed != 0 || c.Request(2).Sampling.Seed != 1<<64-1 { // -1, and the next one
		t.Errorf("seeds %d and %d", c.Request(2).Sampling.Seed, r.Sampling.Seed)
	}
	if err := r.Sampling.Validate(); err != nil || r.Sampling.TopP > 1e-30 {
		t.Errorf("top_p 0: %v", err)
	}
	c = parse(`{"custom_id":"x","url":"/v1/chat/completions","body":{"messages":[{"role":"developer","content":"be"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
		"max_completion_tokens":9,"logprobs":true,"response_format":{"type": "text"},"tools":[]}}`)
	if c.Messages[0].Role != "system" || c.Messages[1].Content != "ab" || c.Request(0).MaxTokens != 9 || c.Request(0).Logprobs != 1 {
		t.Errorf("%+v", c)
	}
	c = parse(`{"custom_id":"x","url":"/v1/completions","body":{"prompt":"x","max_tokens":9,"frequency_penalty":0.5,"presence_penalty":-2}}`)
	if p := c.Request(0).Sampling; p.Frequency != 0.5 || p.Presence != -2 || !p.AnswerOnly || p.LastN != 9 || p.Validate() != nil {
		t.Errorf("penalties: %+v", p)
	}
	c = parse(`{"custom_id":"x","url":"/v1/completions","body":{"prompt":"x","frequency_penalty":0,"presence_penalty":0.0}}`)
	if p := c.Request(0).Sampling; p.Frequency != 0 || p.Presence != 0 || p.AnswerOnly {
		t.Errorf("no penalties: %+v", p)
	}
	if c, f := Plain("id \"1\"", "text <&>", false, defaults); f != nil || c.ID != `id "1"` || c.Prompt(0).Text != "text <&>" {
		t.Errorf("a plain prompt: %+v %+v", c, f)
	}
	if _, f := Plain("id", "\xff", false, defaults); f == nil {
		t.Error("a prompt that is not UTF-8 was accepted")
	}
	if _, f := Plain("id", "", true, defaults); f != nil {
		t.Errorf("an empty message: %+v", f)
	}
}

// TestTokensThatAreNoText are spelt out, and of equal names the better stays.
func TestTokensThatAreNoText(t *testing.T) {
	p := Position{Scored: Scored{1, []byte{0xe2, 0x82}, -1}, Others: []Scored{{2, []byte("a"), -0.5}, {3, []byte("a"), -2}}}
	text, err := json.Marshal(newTextLogprobs([]Position{p}, 3))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"tokens":["bytes:\\xe2\\x82"],"token_logprobs":[-1],"top_logprobs":[{"a":-0.5,"bytes:\\xe2\\x82":-1}],"text_offset":[0]}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"custom_id":"x","url":"/v1/completions","body":{"prompt":["x"],"n":2,"stop":"a","seed":1}}`))
	f.Add([]byte(`{"custom_id":"x","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"x"}]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		id, call, fault := Parse(line, defaults)
		if (call == nil) == (fault == nil) {
			t.Fatal("neither or both of a call and a fault")
		}
		if fault != nil {
			if text, err := fault.Line(Key{}, id, 1); err != nil || !json.Valid(text) {
				t.Fatalf("%s, %v", text, err)
			}
			return
		}
		for i := range call.Requests() {
			r := call.Request(i)
			if err := r.Sampling.Validate(); err != nil || r.MaxTokens < 1 {
				t.Fatalf("%+v: %v", r, err)
			}
			if !call.Chat {
				call.Prompt(i)
			}
		}
	})
}
