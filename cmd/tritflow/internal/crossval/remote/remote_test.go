package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tritflow/cmd/tritflow/internal/crossval/remote"
	"tritflow/gguf/gguftest"
	"tritflow/gguf/vocab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vocabulary is that of the model inside the program.
func vocabulary(t testing.TB) *vocab.Vocab {
	t.Helper()
	v, err := vocab.Load(gguftest.Open(t, "").Metadata(), vocab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reply is what a server says to a path.
type reply struct {
	status int
	body   string
}

// serve answers every path with what it is told, and 404 elsewhere.
func serve(t testing.TB, replies map[string]reply) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := replies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if a.status == 0 {
			a.status = 200
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// ask dials and completes one prompt.
func ask(ctx context.Context, t testing.TB, opt remote.Options, p remote.Prompt) (*remote.Answer, []string, error) {
	t.Helper()
	if opt.Vocab == nil {
		opt.Vocab = vocabulary(t)
	}
	if opt.Top == 0 {
		opt.Top = 3
	}
	c, err := remote.Dial(ctx, opt)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	a, err := c.Complete(ctx, p, 2)
	return a, c.Notes(), err
}

const (
	settings = `{"default_generation_settings": {"n_ctx": 64}}`
	list     = `{"data": [{"id": "m"}]}`
)

func llama(completion reply) map[string]reply {
	return map[string]reply{"/props": {body: settings}, "/completion": completion}
}

func openai(completion reply) map[string]reply {
	return map[string]reply{"/v1/models": {body: list}, "/v1/completions": completion}
}

// failure is the type of an error, and what it must say.
type failure struct {
	as   any
	is   error
	says string
	try  bool // the same request may succeed later
}

func (f failure) check(t *testing.T, err error) {
	t.Helper()
	if err == nil || f.as != nil && !errors.As(err, f.as) || f.is != nil && !errors.Is(err, f.is) || !strings.Contains(err.Error(), f.says) || remote.Refused(err) == f.try {
		t.Errorf("%T %v, refused %v", err, err, remote.Refused(err))
	}
	if strings.Contains(fmt.Sprint(err), "s3cret") {
		t.Errorf("a secret in %v", err)
	}
}

func TestBadAnswers(t *testing.T) {
	v := vocabulary(t)
	tok := v.Encode(" time", vocab.EncodeOptions{})[0]
	good := fmt.Sprintf(`{"id": %d, "token": " time", "logprob": -0.1, "top_logprobs": [{"id": %d, "logprob": -0.1}]}`, tok, tok)
	rows := func(tokens string, row ...string) string {
		return fmt.Sprintf(`{"tokens": %s, "completion_probabilities": [%s]}`, tokens, strings.Join(row, ","))
	}
	lists := func(tokens, chosen, top string) reply {
		return reply{body: fmt.Sprintf(`{"choices": [{"text": "x", "logprobs": {"tokens": %s, "token_logprobs": %s, "top_logprobs": %s}}]}`, tokens, chosen, top)}
	}
	var (
		status *remote.StatusError
		answer *remote.AnswerError
		other  *remote.VocabularyError
	)
	for name, c := range map[string]struct {
		replies map[string]reply
		dialect string
		want    failure
	}{
		"nothing there":       {replies: nil, want: failure{as: &answer, says: "neither llama.cpp's /props nor OpenAI's /v1/models"}},
		"forced, nothing":     {dialect: remote.OpenAI, want: failure{as: &status, says: "404"}},
		"no such dialect":     {dialect: "grpc", want: failure{says: `no dialect is called "grpc"`}},
		"loading":             {replies: map[string]reply{"/props": {503, `{"error": {"code": 503, "message": "Loading model"}}`}}, want: failure{as: &status, says: "Loading model", try: true}},
		"no key":              {replies: map[string]reply{"/props": {401, `{"error": {"message": "Invalid API Key"}}`}}, want: failure{as: &status, says: "Invalid API Key; the environment variable TRITFLOW_API_KEY"}},
		"FastAPI":             {replies: openai(reply{404, `{"detail": "no model m"}`}), want: failure{as: &status, says: "no model m"}},
		"text":                {replies: llama(reply{400, "<html>\n  bad \x1b \x07 gateway\n</html>"}), want: failure{as: &status, says: "<html> bad gateway </html>"}},
		"prompt too long":     {replies: llama(reply{400, `{"error": {"message": "the request exceeds the available context size"}}`}), want: failure{as: &status, says: "exceeds the available context"}},
		"OpenAI, not at all":  {replies: openai(reply{400, `{"error": {"message": "no"}}`}), want: failure{as: &status, says: "400 Bad Request: no"}},
		"server fails":        {replies: openai(reply{500, `{"error": "out of memory"}`}), want: failure{as: &status, says: "out of memory", try: true}},
		"elsewhere":           {replies: map[string]reply{"/props": {302, ""}, "/v1/models": {302, ""}}, want: failure{as: &status, says: "302"}},
		"gateway":             {replies: map[string]reply{"/props": {400, "no such route"}, "/v1/models": {body: list}}, want: failure{as: &status, says: "/v1/completions: status 404"}},
		"empty":               {replies: llama(reply{}), want: failure{is: remote.ErrTruncated, says: "empty", try: true}},
		"cut":                 {replies: llama(reply{body: `{"tokens": [1, 2`}), want: failure{is: remote.ErrTruncated, says: "stops after 16 bytes", try: true}},
		"cut, OpenAI":         {replies: openai(reply{body: `{"choices": [{"text": "a`}), want: failure{is: remote.ErrTruncated, try: true}},
		"no JSON":             {replies: llama(reply{body: "hello"}), want: failure{as: &answer, says: "not the JSON that was expected"}},
		"other JSON":          {replies: llama(reply{body: `{"tokens": "abc"}`}), want: failure{as: &answer, says: "not the JSON that was expected"}},
		"no probabilities":    {replies: llama(reply{body: `{"tokens": [5, 6], "content": "ab"}`}), want: failure{is: remote.ErrNoLogProbs}},
		"no probability":      {replies: llama(reply{body: rows("[5]", `{"id": 5, "top_logprobs": [{"id": 5}]}`)}), want: failure{is: remote.ErrNoLogProbs, says: "position 0"}},
		"no probabilities 2":  {replies: openai(reply{body: `{"choices": [{"text": "ab", "logprobs": null}]}`}), want: failure{is: remote.ErrNoLogProbs}},
		"no choice":           {replies: openai(reply{body: `{"choices": []}`}), want: failure{is: remote.ErrNoLogProbs}},
		"token outside":       {replies: llama(reply{body: rows("[99999]", `{"id": 99999, "logprob": -1, "top_logprobs": [{"id": 99999, "logprob": -1}]}`)}), want: failure{as: &other, says: "token 99999, this model has 1536"}},
		"list outside":        {replies: llama(reply{body: rows(fmt.Sprintf("[%d]", tok), fmt.Sprintf(`{"id": %d, "top_logprobs": [{"id": -4, "logprob": -1}]}`, tok))}), want: failure{as: &other, says: "token -4"}},
		"another text":        {replies: llama(reply{body: rows("[5]", `{"id": 5, "token": "Zürich", "top_logprobs": [{"id": 5, "logprob": -1}]}`)}), want: failure{as: &other, says: `token 5 is "Zürich" there`}},
		"another text 2":      {replies: openai(lists(`["Zürich"]`, "[-1]", `[{"Zürich": -1}]`)), want: failure{as: &other, says: `"Zürich", which is no token`}},
		"mostly foreign":      {replies: openai(lists(`[" time"]`, "[-0.1]", `[{" time": -0.1, "Zürich": -5, "Basel": -6}]`)), want: failure{as: &other, says: "of 3 texts that it lists 2"}},
		"fewer tokens":        {replies: llama(reply{body: rows("[5]", good, good, good)}), want: failure{as: &answer, says: "of 3 tokens, and has generated 1"}},
		"beside another":      {replies: llama(reply{body: rows("[5]", good)}), want: failure{as: &answer, says: "are of token"}},
		"no log-probability":  {replies: llama(reply{body: rows("[5]", `{"id": 5, "top_logprobs": [{"id": 5, "logprob": 0.7}]}`)}), want: failure{as: &answer, says: "0.7 is no log-probability"}},
		"more than certain":   {replies: llama(reply{body: rows("[5]", `{"id": 5, "top_logprobs": [{"id": 5, "logprob": 0}, {"id": 6, "logprob": -1}]}`)}), want: failure{as: &answer, says: "add up to 1.368"}},
		"lists of two sizes":  {replies: openai(lists(`[" time"]`, "[-0.1, -2]", `[{" time": -0.1}]`)), want: failure{as: &answer, says: "lists 1 tokens with 2 and 1"}},
		"context too small":   {replies: llama(reply{body: `{"truncated": true, "tokens": [5]}`}), want: failure{as: &answer, says: "context is too small"}},
		"another size":        {replies: map[string]reply{"/props": {body: settings}, "/v1/models": {body: `{"data": [{"id": "m", "meta": {"n_vocab": 7}}]}`}}, want: failure{as: &other, says: "7 tokens, this model has 1536"}},
		"names are no object": {replies: openai(lists(`[" time"]`, "[-0.1]", `[[1, 2]]`)), want: failure{as: &answer, says: "top_logprobs"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ask(t.Context(), t, remote.Options{Address: serve(t, c.replies), Dialect: c.dialect, Key: "s3cret", Vocab: v}, remote.Prompt{Tokens: []int32{422}})
			c.want.check(t, err)
		})
	}
}

func TestAddresses(t *testing.T) {
	v := vocabulary(t)
	var address *remote.AddressError
	for text, says := range map[string]string{
		"http://":                  "has no host",
		"http://:8080":             "has no host",
		"http://me:s3cret@host:80": "no name or password",
		"http://host:80/?key=1":    "more than host, port and path",
		"http://host:port/":        "is no address",
		"http://[::1":              "is no address",
	} {
		_, _, err := ask(t.Context(), t, remote.Options{Address: text, Vocab: v}, remote.Prompt{Tokens: []int32{1}})
		failure{as: &address, says: says}.check(t, err)
	}
	for text, want := range map[string]bool{"http://x": true, "HTTPS://x/v1": true, "ftp://x": false, "dump": false, "http:/x": false, "a/http://b": false} {
		if remote.IsAddress(text) != want {
			t.Errorf("%s: %v", text, !want)
		}
	}
}

// TestUnreachable: nobody listens, nobody answers in time, the connection breaks.
func TestUnreachable(t *testing.T) {
	v := vocabulary(t)
	p := remote.Prompt{Tokens: []int32{1}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// The port of a connection: nobody listens there, and nobody else can meanwhile.
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	closed := "http://" + conn.LocalAddr().String()
	var unreachable *remote.UnreachableError
	_, _, err = ask(t.Context(), t, remote.Options{Address: closed, Vocab: v}, p)
	failure{as: &unreachable, says: "is it running", try: true}.check(t, err)

	hang := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(hang) })
	var late *remote.TimeoutError
	_, _, err = ask(t.Context(), t, remote.Options{Address: slow.URL, Timeout: 20 * time.Millisecond, Vocab: v}, p)
	failure{as: &late, says: "within 20ms; --ref-timeout", try: true}.check(t, err)

	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	_, _, err = ask(ctx, t, remote.Options{Address: slow.URL, Vocab: v}, p)
	failure{is: cause, try: true}.check(t, err)

	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, settings)
	}))
	t.Cleanup(broken.Close)
	_, _, err = ask(t.Context(), t, remote.Options{Address: broken.URL, Vocab: v}, p)
	failure{is: remote.ErrTruncated, try: true}.check(t, err)
}

// TestEndless: an answer without end is not read without end.
func TestEndless(t *testing.T) {
	sent := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/props":
			_, _ = io.WriteString(w, settings)
		case "/completion":
			_, _ = io.WriteString(w, `{"content": "`)
			for block := []byte(strings.Repeat("a", 1<<16)); ; sent += len(block) {
				if _, err := w.Write(block); err != nil || sent > 1<<30 {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	_, _, err := ask(t.Context(), t, remote.Options{Address: s.URL}, remote.Prompt{Tokens: []int32{1}})
	failure{is: remote.ErrTooLarge, says: "more than"}.check(t, err)
	s.Close()
	if sent > 64<<20 {
		t.Errorf("%d bytes were read", sent)
	}
}

// TestKey: the key goes to the server that was named, and to no other.
func TestKey(t *testing.T) {
	leaked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked = true }))
	t.Cleanup(other.Close)
	seen := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Authorization")
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(s.Close)
	var status *remote.StatusError
	_, _, err := ask(t.Context(), t, remote.Options{Address: s.URL, Key: "s3cret"}, remote.Prompt{Tokens: []int32{1}})
	failure{as: &status, says: "which is not followed"}.check(t, err)
	if seen != "Bearer s3cret" || leaked {
		t.Errorf("sent %q, followed %v", seen, leaked)
	}
}

// TestTexts: texts that stand for several tokens, or none, are left out and told.
func TestTexts(t *testing.T) {
	v := vocabulary(t)
	id := func(text string) int32 { return v.Encode(text, vocab.EncodeOptions{})[0] }
	body := `{"choices": [{"text": "x", "logprobs": {"tokens": [" time", "Ġday"], "token_logprobs": [-0.1, -0.2], "top_logprobs": [
		{" time": -0.1, "\ufffd": -4, "\ufffd": -5, "bytes:\\x20day": -6},
		{"token_id:7": -3, " day": -0.2, "Zürich": -9, " the": -9999}]}}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}`
	a, notes, err := ask(t.Context(), t, remote.Options{Address: serve(t, openai(reply{body: body})), Vocab: v, Top: 4}, remote.Prompt{Tokens: []int32{422}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int32{id(" time"), id(" day")}; !slices.Equal(a.Tokens, want) || len(a.Rows) != 2 {
		t.Fatalf("%+v, want %v", a, want)
	}
	if want := []int32{id(" time"), id(" day")}; !slices.Equal(a.Rows[0].IDs, want) || a.Rows[0].Position != 0 {
		t.Errorf("%+v, want %v", a.Rows[0], want)
	}
	if want := []int32{7, id(" day"), id(" the")}; !slices.Equal(a.Rows[1].IDs, want) || a.Rows[1].Position != 1 {
		t.Errorf("%+v, want %v", a.Rows[1], want)
	}
	said := strings.Join(notes, "\n")
	for _, want := range []string{`2 of those that it lists (1 texts, such as "�") may be several tokens`, `1 of those that it lists (1 texts, such as "Zürich") may be no token`} {
		if !strings.Contains(said, want) {
			t.Errorf("without %q:\n%s", want, said)
		}
	}
	// Nobody knows which token is the likeliest here.
	body = strings.Replace(body, `" time": -0.1, "\ufffd": -4`, `" time": -4, "\ufffd": -0.1`, 1)
	a, notes, err = ask(t.Context(), t, remote.Options{Address: serve(t, openai(reply{body: body})), Vocab: v, Top: 4}, remote.Prompt{Tokens: []int32{422}})
	if err != nil || len(a.Rows) != 1 || !strings.Contains(strings.Join(notes, "\n"), "at 1 positions it is not certain") {
		t.Errorf("%+v, %q, %v", a, notes, err)
	}
}

// TestEchoBeside: a server whose lists are not beside their tokens when the prompt
// is sent back is asked without.
func TestEchoBeside(t *testing.T) {
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/v1/models":
			_, _ = io.WriteString(w, list)
		case r.URL.Path != "/v1/completions":
			http.NotFound(w, r)
		case strings.Contains(string(body), `"echo":true`):
			asked++
			_, _ = io.WriteString(w, `{"choices": [{"text": "x", "logprobs": {"tokens": ["token_id:422", "token_id:9"], "token_logprobs": [null, -3], "top_logprobs": [null, {"token_id:8": -0.1, "token_id:9": -3}]}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}`)
		default:
			asked++
			_, _ = io.WriteString(w, `{"choices": [{"text": "x", "logprobs": {"tokens": ["token_id:9"], "token_logprobs": [-0.1], "top_logprobs": [{"token_id:9": -0.1}]}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}`)
		}
	}))
	t.Cleanup(s.Close)
	a, notes, err := ask(t.Context(), t, remote.Options{Address: s.URL}, remote.Prompt{Tokens: []int32{422}})
	if err != nil || asked != 2 || len(a.Rows) != 1 || a.Rows[0].IDs[0] != 9 || !strings.Contains(strings.Join(notes, "\n"), "only answers are compared") {
		t.Errorf("%d requests, %+v, %q, %v", asked, a, notes, err)
	}
}

// TestNoText: ids that no text has cannot be sent as text.
func TestNoText(t *testing.T) {
	var address *remote.AddressError
	_, _, err := ask(t.Context(), t, remote.Options{Address: serve(t, openai(reply{422, `{"detail": [{"loc": ["body", "prompt"], "msg": "string expected"}]}`}))},
		remote.Prompt{Tokens: []int32{422, 312, 262, 16}})
	failure{as: &address, says: "is no text's tokens"}.check(t, err)
}

// TestIncomplete: llama.cpp has no row for a token after which the text is not
// whole UTF-8; the others stay beside theirs.
func TestIncomplete(t *testing.T) {
	v := vocabulary(t)
	ids := v.Encode("é", vocab.EncodeOptions{})
	if len(ids) != 2 {
		t.Skipf("é is %d tokens of this vocabulary", len(ids))
	}
	body := fmt.Sprintf(`{"tokens": [%d, %d], "completion_probabilities": [{"id": %d, "token": "\u00e9", "bytes": [195, 169], "top_logprobs": [{"id": %d, "logprob": -0.1}]}]}`, ids[0], ids[1], ids[1], ids[1])
	a, _, err := ask(t.Context(), t, remote.Options{Address: serve(t, llama(reply{body: body})), Vocab: v}, remote.Prompt{Tokens: []int32{422}})
	if err != nil || !slices.Equal(a.Tokens, ids) || len(a.Rows) != 1 || a.Rows[0].Position != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestLlamaCppPython: it answers 500 to prompts of ids, and writes control tokens
// as no text.
func TestLlamaCppPython(t *testing.T) {
	v := vocabulary(t)
	p := remote.Prompt{Text: "Once", Tokens: v.Encode("Once", vocab.EncodeOptions{AddSpecial: true})}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/v1/models":
			_, _ = io.WriteString(w, list)
		case r.URL.Path != "/v1/completions":
			http.NotFound(w, r)
		case strings.Contains(string(body), `"prompt":[`):
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"error": {"message": "2 validation errors:\n  {'loc': ('body', 'prompt', 'str'), 'msg': 'Input should be a valid string'}", "type": "internal_server_error"}}`)
		default:
			_, _ = fmt.Fprintf(w, `{"choices": [{"text": "Once upon", "logprobs": {"tokens": ["Once", " upon", ""], "token_logprobs": [null, -0.1, -0.2],
				"top_logprobs": [null, {" upon": -0.1, "": -3}, {"": -0.2}]}}], "usage": {"prompt_tokens": %d, "completion_tokens": 2}}`, len(p.Tokens))
		}
	}))
	t.Cleanup(s.Close)
	a, notes, err := ask(t.Context(), t, remote.Options{Address: s.URL, Vocab: v}, p)
	if err != nil || len(a.Tokens) != 1 || v.Text(a.Tokens[0]) != "Ġupon" || len(a.Rows) != 1 || a.Rows[0].Position != len(p.Tokens)-1 {
		t.Fatalf("%+v, %v", a, err)
	}
	for _, want := range []string{"sent as texts", "writes as no text"} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("%q lacks %q", notes, want)
		}
	}
}

// TestNoParts: in the form of the chat interface a token that is part of a
// character is not told of; what comes after it stands in no known place.
func TestNoParts(t *testing.T) {
	v := vocabulary(t)
	ids := v.Encode("é", vocab.EncodeOptions{})
	if len(ids) != 2 {
		t.Skipf("é is %d tokens of this vocabulary", len(ids))
	}
	row := func(id int32, text string, bytes string) string {
		return fmt.Sprintf(`{"id": %d, "token": %q, "bytes": %s, "logprob": -0.1, "top_logprobs": [{"id": %d, "logprob": -0.1}]}`, id, text, bytes, id)
	}
	day := v.Encode(" day", vocab.EncodeOptions{})[0]
	body := `{"choices": [{"text": "x", "logprobs": {"content": [` + row(day, " day", "[32, 100, 97, 121]") + "," + row(ids[1], "é", "[195, 169]") + "," + row(day, " day", "[32, 100, 97, 121]") + `]}}]}`
	a, notes, err := ask(t.Context(), t, remote.Options{Address: serve(t, openai(reply{body: body})), Vocab: v}, remote.Prompt{Tokens: []int32{422}})
	if err != nil || !slices.Equal(a.Tokens, []int32{day}) || len(a.Rows) != 1 || a.Rows[0].Position != 0 || !strings.Contains(strings.Join(notes, "\n"), "parts of a character") {
		t.Errorf("%+v, %q, %v", a, notes, err)
	}
}
