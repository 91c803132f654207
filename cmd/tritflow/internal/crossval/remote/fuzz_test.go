package remote_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"tritflow/cmd/tritflow/internal/crossval/remote"
	"tritflow/gguf/vocab"
)

// FuzzAnswers: whatever a server answers becomes an answer that keeps its promises, or
// an error; never a panic.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"tokens": [5, 6], "completion_probabilities": [{"id": 5, "top_logprobs": [{"id": 5, "logprob": -1}]}, {"id": 6, "top_logprobs": [{"id": 6, "logprob": -1}]}]}`,
		`{"completion_probabilities": [{"content": " time", "probs": [{"tok_str": " time", "prob": 1}, {"tok_str": "a", "prob": 0}]}]}`,
		`{"choices": [{"text": "x", "logprobs": {"tokens": ["token_id:422", " time"], "token_logprobs": [null, -1], "top_logprobs": [null, {" time": -1, "a": -2}]}}], "usage": {"prompt_tokens": 1, "completion_tokens": -1}}`,
		`{"choices": [{"text": "x", "logprobs": {"content": [{"id": 5, "bytes": [300, -1], "logprob": -1, "top_logprobs": [{"token": "\u00e9", "logprob": -1}]}]}}]}`,
		`{"choices": [{"text": "", "logprobs": {}}]}`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	v := vocabulary(f)
	p := remote.Prompt{Text: "Once", Tokens: v.Encode("Once", vocab.EncodeOptions{AddSpecial: true})}
	body := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/props":
			_, _ = io.WriteString(w, settings)
		case "/v1/models":
			_, _ = io.WriteString(w, list)
		default:
			_, _ = io.WriteString(w, body)
		}
	}))
	f.Cleanup(s.Close)
	clients := map[bool]*remote.Client{}
	for native, dialect := range map[bool]string{true: remote.Llama, false: remote.OpenAI} {
		c, err := remote.Dial(f.Context(), remote.Options{Address: s.URL, Dialect: dialect, Top: 3, Vocab: v})
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(c.Close)
		clients[native] = c
	}
	f.Fuzz(func(t *testing.T, text string, native bool) {
		body = text
		a, err := clients[native].Complete(t.Context(), p, 4)
		if err != nil {
			return
		}
		last := -1
		for _, r := range a.Rows {
			if r.Position <= last || r.Position >= len(p.Tokens)+len(a.Tokens) || len(r.IDs) == 0 || r.Check() != nil {
				t.Fatalf("%+v of %q", a, text)
			}
			last = r.Position
			for _, id := range r.IDs {
				if id < 0 || int(id) >= v.Size() {
					t.Fatalf("token %d of %q", id, text)
				}
			}
		}
	})
}
