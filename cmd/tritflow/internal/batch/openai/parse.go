package openai

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"unicode/utf8"

	"tritflow/gguf/vocab"
)

// The endpoints that lines may name.
const (
	chatURL       = "/v1/chat/completions"
	completionURL = "/v1/completions"
)

// Parse reads a line. id is its custom_id, nil where it has none that can be
// read; exactly one of call and fault is not nil. The line is not kept.
func Parse(line []byte, d Defaults) (id *string, call *Call, fault *Fault) {
	if !utf8.Valid(line) {
		return nil, nil, broken("invalid_json_line", "The line is not valid UTF-8.")
	}
	if err := json.Unmarshal(line, new(json.RawMessage)); err != nil {
		return nil, nil, broken("invalid_json_line", "The line is not valid JSON: %s.", jsonTrouble(err))
	}
	f, ok := newFields(line)
	if !ok {
		return nil, nil, broken("invalid_json_line", "The line must be a JSON object, but is %s.", kindOf(bytes.TrimSpace(line)))
	}
	if s, ok := f.text("custom_id"); ok {
		id = &s
	}
	call, fault = parse(f, d, id)
	if fault != nil {
		call = nil
	}
	return id, call, fault
}

// jsonTrouble says what is wrong without the Go types.
func jsonTrouble(err error) string {
	if se := (*json.SyntaxError)(nil); errors.As(err, &se) {
		return se.Error()
	}
	return "it cannot be parsed"
}

// parse reads the members of a line.
func parse(f *fields, d Defaults, id *string) (*Call, *Fault) {
	method, hasMethod := f.text("method")
	url, hasURL := f.text("url")
	body, hasBody := f.take("body")
	f.rest()
	switch {
	case f.fault != nil:
		f.fault.Status = 0
		return nil, f.fault
	case id == nil:
		return nil, lineFault("missing_required_parameter", "custom_id", "Missing required parameter: 'custom_id'.")
	case *id == "":
		return nil, lineFault("invalid_value", "custom_id", "Invalid value for 'custom_id': it is empty.")
	case hasMethod && method != "POST":
		return nil, lineFault("invalid_method", "method", "Invalid value for 'method': only POST is supported.")
	case !hasURL:
		return nil, lineFault("missing_required_parameter", "url", "Missing required parameter: 'url'.")
	case url != chatURL && url != completionURL:
		return nil, lineFault("invalid_url", "url", "Invalid value for 'url': only "+chatURL+" and "+completionURL+" are supported.")
	case !hasBody:
		return nil, lineFault("missing_required_parameter", "body", "Missing required parameter: 'body'.")
	}
	b, ok := newFields(body)
	if !ok {
		return nil, lineFault("invalid_type", "body", "Invalid type for 'body': expected an object, but got "+kindOf(body)+" instead.")
	}
	c := &Call{ID: *id, Chat: url == chatURL}
	c.settle(b, d, seedOf(d.Sampling.Seed, *id))
	if c.Chat {
		c.chat(b)
	} else {
		c.completion(b)
	}
	b.rest()
	return c, b.fault
}

func lineFault(code, param, message string) *Fault {
	f := broken(code, "%s", message)
	f.Param = param
	return f
}

// seedOf makes the seed of a line that has none.
func seedOf(base uint64, id string) uint64 {
	h := sha256.New()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], base)
	h.Write(b[:])
	h.Write([]byte(id))
	return binary.LittleEndian.Uint64(h.Sum(nil))
}

// chat reads what only chats have.
func (c *Call) chat(f *fields) {
	if n, ok := f.integer("max_completion_tokens", 1, math.MaxInt32); ok {
		c.request.MaxTokens = int(n)
	}
	on, _ := f.flag("logprobs")
	tops, given := f.integer("top_logprobs", 0, mostTops)
	switch {
	case on:
		c.Tops = int(tops)
	case given && tops > 0:
		f.wrong("top_logprobs", "it is only allowed when 'logprobs' is true")
	}
	f.idle("tools", "[]")
	f.idle("tool_choice", `"none"`, `"auto"`)
	f.idle("functions", "[]")
	f.idle("response_format", `{"type":"text"}`)
	f.idle("modalities", `["text"]`)
	raw, ok := f.take("messages")
	if !ok {
		f.missing("messages")
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		f.bad("messages", "an array of objects", raw)
		return
	}
	if len(list) == 0 {
		f.wrong("messages", "it is empty")
	}
	for i, m := range list {
		c.message(f, i, m)
	}
}

// roles maps the API's to those of templates.
var roles = map[string]string{"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

func (c *Call) message(f *fields, i int, raw json.RawMessage) {
	m, ok := newFields(raw)
	m.prefix = indexed("messages", i) + "."
	if !ok {
		f.bad(indexed("messages", i), "an object", raw)
		return
	}
	role, ok := m.text("role")
	if !ok {
		m.missing("role")
	} else if roles[role] == "" {
		m.wrong("role", "%q is not one of system, developer, user and assistant", role)
	}
	var content string
	if raw, ok := m.take("content"); !ok {
		m.missing("content")
	} else if content, ok = contentText(raw); !ok {
		m.bad("content", "a string or an array of text parts", raw)
	}
	m.take("refusal")
	m.idle("tool_calls", "[]")
	m.rest()
	if f.fault == nil {
		f.fault = m.fault
	}
	c.Messages = append(c.Messages, vocab.Message{Role: roles[role], Content: content})
}

// contentText joins the text parts of a message.
func contentText(raw json.RawMessage) (text string, ok bool) {
	if json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil || len(parts) == 0 {
		return "", false
	}
	for _, p := range parts {
		if p.Type != "text" || p.Text == nil {
			return "", false
		}
		text += *p.Text
	}
	return text, true
}
