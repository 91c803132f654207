package openai

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// completion reads what only completions have.
func (c *Call) completion(f *fields) {
	const most = 5 // the API's bound
	if n, ok := f.integer("logprobs", 0, most); ok {
		c.Tops = int(n)
	}
	f.idle("echo", "false")
	f.idle("suffix", `""`)
	f.idle("best_of", "1", strconv.Itoa(c.N))
	raw, ok := f.take("prompt")
	if !ok {
		f.missing("prompt")
		return
	}
	if c.Prompts, ok = prompts(raw); !ok {
		f.bad("prompt", "a string, an array of strings, an array of token ids or an array of such arrays", raw)
		return
	}
	switch {
	case len(c.Prompts) > mostPrompts:
		f.wrong("prompt", "there are %d prompts, at most %d are allowed", len(c.Prompts), mostPrompts)
	case c.Requests() > mostRequests:
		f.wrong("n", "%d prompts with %d choices each are more than %d requests in one line", len(c.Prompts), c.N, mostRequests)
	}
	for i, p := range c.Prompts {
		if p.Text == "" && len(p.Tokens) == 0 {
			name := "prompt"
			if len(c.Prompts) > 1 {
				name = indexed("prompt", i)
			}
			f.wrong(name, "it is empty")
		}
	}
}

// prompts reads the four forms that the API allows.
func prompts(raw json.RawMessage) ([]Prompt, bool) {
	if list, ok := texts(raw); ok && len(list) > 0 {
		out := make([]Prompt, len(list))
		for i, s := range list {
			out[i].Text = s
		}
		return out, true
	}
	if bytes.Contains(raw, []byte("null")) {
		return nil, false // which would pass for a 0 among ids
	}
	var ids []int32
	if json.Unmarshal(raw, &ids) == nil && len(ids) > 0 {
		return []Prompt{{Tokens: ids}}, true
	}
	var lists [][]int32
	if json.Unmarshal(raw, &lists) != nil || len(lists) == 0 {
		return nil, false
	}
	out := make([]Prompt, len(lists))
	for i, ids := range lists {
		out[i].Tokens = ids
	}
	return out, true
}

// texts reads a string or an array of strings.
func texts(raw json.RawMessage) (list []string, ok bool) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return []string{s}, true
	}
	var some []*string
	if json.Unmarshal(raw, &some) != nil {
		return nil, false
	}
	for _, p := range some {
		if p == nil {
			return nil, false
		}
		list = append(list, *p)
	}
	return list, true
}

func indexed(name string, i int) string { return name + "[" + strconv.Itoa(i) + "]" }

// Plain makes the call of a prompt that came without a request around it, as a
// completion, or as a message of a user.
func Plain(id, text string, chat bool, d Defaults) (*Call, *Fault) {
	if !utf8.ValidString(text) || !utf8.ValidString(id) {
		return nil, broken("invalid_line", "The line is not valid UTF-8.")
	}
	body := map[string]any{}
	url := completionURL
	if chat {
		url = chatURL
		body["messages"] = []map[string]string{{"role": "user", "content": text}}
	} else {
		body["prompt"] = text
	}
	raw, err := json.Marshal(map[string]any{"custom_id": id, "url": url, "body": body})
	if err != nil {
		return nil, broken("invalid_line", "%v", err)
	}
	_, call, fault := Parse(raw, d)
	return call, fault
}
