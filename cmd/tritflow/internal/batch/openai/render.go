package openai

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"tritflow/stages"
)

// Key is what the ids of a line are made from: a digest of the input line and
// its place.
type Key [32]byte

func (k Key) id(prefix string, at int) string {
	const n = 12
	return prefix + hex.EncodeToString(k[at:at+n])
}

// Choice is one answer.
type Choice struct {
	Text      string
	Finish    stages.Finish
	Tokens    int        // generated
	Prompt    int        // tokens of its prompt
	Positions []Position // of the generated tokens, where log-probabilities are wanted
}

type line struct {
	ID       string    `json:"id"`
	CustomID *string   `json:"custom_id"`
	Response *response `json:"response"`
	Error    *lineErr  `json:"error"`
}

type response struct {
	Status    int    `json:"status_code"`
	RequestID string `json:"request_id"`
	Body      any    `json:"body"`
}

type lineErr struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
	Line    int64   `json:"line"`
}

type apiError struct {
	Error apiErrorBody `json:"error"`
}

type apiErrorBody struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

type completion struct {
	ID      string  `json:"id"`
	Object  string  `json:"object"`
	Created int64   `json:"created"` // always 0: the same input gives the same bytes
	Model   string  `json:"model"`
	Choices []any   `json:"choices"`
	Usage   usage   `json:"usage"`
	Seed    *uint64 `json:"seed,omitempty"`
}

type chatChoice struct {
	Index    int           `json:"index"`
	Message  chatMessage   `json:"message"`
	Logprobs *chatLogprobs `json:"logprobs"`
	Finish   string        `json:"finish_reason"`
}

type chatMessage struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

type textChoice struct {
	Text     string        `json:"text"`
	Index    int           `json:"index"`
	Logprobs *textLogprobs `json:"logprobs"`
	Finish   string        `json:"finish_reason"`
}

type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// Line writes the answer to a call, without a newline; choices stand in the
// order of Call.Request, model is the name to tell where the line gave none.
func (c *Call) Line(k Key, model string, choices []Choice) ([]byte, Usage, error) {
	body := completion{ID: k.id("cmpl-", 20), Object: "text_completion", Model: c.Model}
	if c.Chat {
		body.ID, body.Object = k.id("chatcmpl-", 20), "chat.completion"
	}
	if body.Model == "" {
		body.Model = model
	}
	if c.seeded {
		body.Seed = &c.request.Sampling.Seed
	}
	var u Usage
	for i, ch := range choices {
		if i%c.N == 0 {
			u.Prompt += ch.Prompt // read once for all its choices
		}
		u.Completion += ch.Tokens
		body.Choices = append(body.Choices, c.choice(i, ch))
	}
	body.Usage = usage{u.Prompt, u.Completion, u.Prompt + u.Completion}
	text, err := encode(line{
		ID: k.id("batch_req_", 0), CustomID: &c.ID,
		Response: &response{Status: 200, RequestID: k.id("req_", 10), Body: body},
	})
	return text, u, err
}

// Usage counts the tokens of a line.
type Usage struct{ Prompt, Completion int }

func (c *Call) choice(i int, ch Choice) any {
	if c.Chat {
		out := chatChoice{Index: i, Message: chatMessage{Role: "assistant", Content: ch.Text}, Finish: string(ch.Finish)}
		if c.Tops >= 0 {
			out.Logprobs = newChatLogprobs(ch.Positions, c.Tops)
		}
		return out
	}
	out := textChoice{Index: i, Text: ch.Text, Finish: string(ch.Finish)}
	if c.Tops >= 0 {
		out.Logprobs = newTextLogprobs(ch.Positions, c.Tops)
	}
	return out
}

// Line writes the error line of an input line, without a newline; number is its
// place in the input.
func (f *Fault) Line(k Key, id *string, number int64) ([]byte, error) {
	out := line{ID: k.id("batch_req_", 0), CustomID: id}
	if f.Status == 0 {
		out.Error = &lineErr{Code: f.Code, Message: f.Message, Param: orNull(f.Param), Line: number}
		return encode(out)
	}
	out.Response = &response{Status: f.Status, RequestID: k.id("req_", 10), Body: apiError{apiErrorBody{
		Message: f.Message, Type: f.Type, Param: orNull(f.Param), Code: orNull(f.Code),
	}}}
	return encode(out)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("writing an answer as JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
