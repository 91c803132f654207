package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"tritflow/gguf/vocab"
)

// KeyVariable is the environment variable that may have a server's API key.
const KeyVariable = "TRITFLOW_API_KEY"

// The dialects that servers speak.
const (
	Auto   = "auto"
	Llama  = "llama.cpp" // llama-server's own /completion
	OpenAI = "openai"    // /v1/completions
)

// Options of Dial.
type Options struct {
	Address string        // http://host:port
	Dialect string        // Auto, Llama or OpenAI
	Key     string        // sent as a bearer token, to this host alone; "" = none
	Model   string        // name of the model; "" = the first that the server lists
	Top     int           // log-probabilities of each position to ask for
	Timeout time.Duration // of one request; 0 = none
	Vocab   *vocab.Vocab  // of the model that is compared
}

// Client is a server that was found to speak a known dialect. It is for one
// goroutine.
type Client struct {
	opt   Options
	base  base
	http  *http.Client
	names *names
	about string
	model string
	size  int // of the server's vocabulary; 0 = it does not tell

	speak interface {
		complete(ctx context.Context, p Prompt, n int) (*Answer, error)
	}
	notes []string
}

// Prompt is what a server continues.
type Prompt struct {
	Text   string // "" where it was given as ids
	Tokens []int32
}

// Dial asks a server what it is. The caller closes the client.
func Dial(ctx context.Context, opt Options) (*Client, error) {
	b, err := parseAddress(opt.Address)
	if err != nil {
		return nil, err
	}
	if opt.Top < 1 {
		return nil, &AddressError{opt.Address, fmt.Sprintf("%d log-probabilities a position say nothing: ask for 1 or more", opt.Top)}
	}
	c := &Client{opt: opt, base: b, names: newNames(opt.Vocab), http: &http.Client{
		Transport: http.DefaultTransport.(*http.Transport).Clone(),
		// A redirect would take the prompts, and perhaps the key, to somebody who was not named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if err := c.detect(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// About says what the server is, for a report.
func (c *Client) About() string { return c.about }

// Complete lets the server continue a prompt greedily by at most n ≥ 1 tokens.
func (c *Client) Complete(ctx context.Context, p Prompt, n int) (*Answer, error) {
	if n < 1 || len(p.Tokens) == 0 {
		return nil, &AddressError{c.opt.Address, "a server tells log-probabilities of tokens that it generates: a prompt and 1 or more tokens are needed"}
	}
	return c.speak.complete(ctx, p, n)
}

// Notes is what a reader of the report must know: what the server did not
// understand, what was left out.
func (c *Client) Notes() []string {
	return slices.Concat(c.notes, c.names.notes())
}

func (c *Client) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(c.notes, text) {
		c.notes = append(c.notes, text)
	}
}

// get asks for a small object.
func (c *Client) get(ctx context.Context, url string, into any) error {
	return c.ask(ctx, http.MethodGet, url, nil, into, 16<<20)
}

// ask sends a request and decodes the answer, of at most so many bytes.
func (c *Client) ask(ctx context.Context, method, url string, body, into any, most int64) error {
	if c.opt.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.opt.Timeout, &TimeoutError{url, c.opt.Timeout})
		defer cancel()
	}
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return &AddressError{url, "is no address"}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.opt.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.opt.Key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return failure(ctx, url, err)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case resp.StatusCode != http.StatusOK:
		return &StatusError{url, resp.StatusCode, message(data, resp.Header)}
	case err != nil:
		return &AnswerError{url, err.Error(), ErrTruncated}
	case int64(len(data)) > most:
		return &AnswerError{url, fmt.Sprintf("it has more than %d bytes", most), ErrTooLarge}
	}
	return decode(url, data, into)
}

// failure sorts what the HTTP client says.
func failure(ctx context.Context, url string, err error) error {
	var timeout net.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		return &UnreachableError{url, errors.New("the connection timed out")}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &AnswerError{url, "the connection was closed", ErrTruncated}
	}
	// The URL is named already.
	return &UnreachableError{url, errors.Unwrap(err)}
}

func decode(url string, data []byte, into any) error {
	err := json.Unmarshal(data, into)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case len(bytes.TrimSpace(data)) == 0:
		return &AnswerError{url, "it is empty", ErrTruncated}
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(data)):
		return &AnswerError{url, fmt.Sprintf("the JSON stops after %d bytes", len(data)), ErrTruncated}
	}
	return &AnswerError{url, "the answer is not the JSON that was expected: " + err.Error(), nil}
}

// message finds what an error's body says: OpenAI and llama.cpp write
// {"error": {"message"}}, FastAPI {"detail"}, others {"error": TEXT} or text.
func message(data []byte, h http.Header) string {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	var inner struct {
		Message string `json:"message"`
	}
	text := ""
	if json.Unmarshal(data, &body) == nil {
		switch {
		case json.Unmarshal(body.Error, &inner) == nil && inner.Message != "":
			text = inner.Message
		case json.Unmarshal(body.Error, &text) == nil && text != "":
		case body.Message != "":
			text = body.Message
		case json.Unmarshal(body.Detail, &text) == nil && text != "":
		case len(body.Detail) > 0:
			text = string(body.Detail)
		}
	}
	if text == "" {
		text = string(data)
	}
	if to := h.Get("Location"); to != "" {
		text = "it sends on to " + to + ", which is not followed: name that address if it is meant"
	}
	return plain(text)
}

// plain makes one short line of what a server says, without anything that a
// terminal would obey.
func plain(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > most {
		text = string(r[:most-1]) + "…"
	}
	return text
}
