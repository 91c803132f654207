package crossval_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/cmd/tritflow/internal/crossval/remote"
	"tritflow/cmd/tritflow/internal/crossval/servertest"
	"tritflow/stages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// builtinEngine opens the model inside the program.
func builtinEngine(t testing.TB) *stages.Engine {
	t.Helper()
	e, err := stages.Open(t.Context(), "", stages.Options{Devices: "cpu"})
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

// open is a server's address, for as long as the test runs.
func open(t testing.TB, s *httptest.Server) string {
	t.Cleanup(s.Close)
	return s.URL
}

// prompts are two texts and one of ids.
func prompts(t testing.TB, e *stages.Engine) []crossval.Prompt {
	t.Helper()
	p, err := crossval.ReadPrompts("prompts", "Once upon a time\nThe capital of France is\nOne day\n", e.Vocab())
	if err != nil {
		t.Fatal(err)
	}
	p[2].Text = ""
	return p
}

const answers = 12

// beside lets a server write a dump, and compares with it.
func beside(t testing.TB, e *stages.Engine, address, dialect string, tol crossval.Tolerance) (*crossval.Report, error) {
	t.Helper()
	dir := t.TempDir()
	s := crossval.Server{Options: remote.Options{Address: address, Dialect: dialect, Top: 8, Timeout: time.Minute, Vocab: e.Vocab()}}
	if err := s.Write(t.Context(), dir, prompts(t, e), answers); err != nil {
		return nil, err
	}
	d, err := crossval.OpenDump(dir, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return crossval.Run(t.Context(), d, crossval.Options{
		Engine: e, Model: "built-in", KV: "f16", Tolerance: tol, Text: func(id int32) string { return string(e.Vocab().Piece(id, true)) },
	})
}

// exact is a tolerance that allows what numbers lose when they are printed.
func exact() crossval.Tolerance {
	t := crossval.Strict()
	t.Mean, t.LogProb, t.KL, t.Perplexity = 1e-6, 1e-5, 2e-6, 1e-5
	return t
}

// TestServers: every dialect brings the same numbers, to the last digit that it writes.
func TestServers(t *testing.T) {
	e := builtinEngine(t)
	for _, c := range []struct {
		name    string
		fake    servertest.Server
		serve   func(*servertest.Server) *httptest.Server
		path    string // after the address
		about   string
		note    string
		prompts bool // the prompt's positions are compared too
		ends    bool // so is the position before the end
		few     bool
	}{
		{name: "llama.cpp", serve: (*servertest.Server).Llama, ends: true, about: "llama.cpp server"},
		{name: "llama.cpp under /v1", fake: servertest.Server{Vocab: 1536}, serve: (*servertest.Server).Llama, ends: true, path: "/v1/", about: "build b1-fake, model fake.gguf"},
		{name: "llama.cpp of old", fake: servertest.Server{Old: true}, serve: (*servertest.Server).Llama, ends: true, about: "llama.cpp server"},
		{name: "vLLM", serve: (*servertest.Server).OpenAI, about: "model fake", prompts: true, note: "whole requests"},
		{name: "texts", fake: servertest.Server{NoNames: true}, serve: (*servertest.Server).OpenAI, about: "OpenAI-compatible", prompts: true},
		{name: "texts alone", fake: servertest.Server{NoNames: true, NoIDs: true}, serve: (*servertest.Server).OpenAI, prompts: true, note: "sent as texts"},
		{name: "no echo", fake: servertest.Server{NoEcho: true}, serve: (*servertest.Server).OpenAI},
		{name: "chat form", fake: servertest.Server{NoEcho: true, Content: true}, serve: (*servertest.Server).OpenAI},
		{name: "nothing but the least", fake: servertest.Server{NoNames: true, NoEcho: true, NoIDs: true, Few: true}, serve: (*servertest.Server).OpenAI, few: true, note: "5 are compared"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.fake
			f.Engine, f.Fail = e, func(err error) { t.Error(err) }
			r, err := beside(t, e, open(t, c.serve(&f))+c.path, remote.Auto, exact())
			if err != nil {
				t.Fatal(err)
			}
			if !r.Pass {
				t.Fatalf("%v", r.Problems)
			}
			l := r.Listed
			if r.Logits != nil || l == nil || r.Text == nil || r.Tokens.Tokens == 0 || r.Tokens.Equal != r.Tokens.Tokens || r.Speed.ReferenceDecode == 0 || l.Equal != l.Rows {
				t.Fatalf("%+v, %+v", r, l)
			}
			want := 0
			for _, k := range r.Cases {
				want += len(k.Tokens) - k.Given
				if c.prompts {
					want += k.Given - 1
				}
				if c.ends && len(k.Tokens) < k.Given+answers {
					want++
				}
				if n := len(k.Positions); n != len(k.KL) || n == 0 || !c.prompts && k.Positions[0] < k.Given-1 || c.prompts && k.Positions[0] != 0 {
					t.Errorf("%s: positions %v", k.Name, k.Positions)
				}
			}
			if l.Rows != want || l.Values < l.Rows*4 || c.few && l.Most != 5 || l.Mass <= 0.3 || l.Mass > 1 {
				t.Errorf("%d rows of %d, %+v", l.Rows, want, l)
			}
			if !strings.Contains(r.Reference, c.about) || !strings.Contains(strings.Join(r.Notes, "\n"), c.note) {
				t.Errorf("%q, notes %q", r.Reference, r.Notes)
			}
			saysSo(t, r)
		})
	}
}

// saysSo: what is not known is not printed as a number, anywhere.
func saysSo(t *testing.T, r *crossval.Report) {
	t.Helper()
	var text, page bytes.Buffer
	if err := errors.Join(r.WriteText(&text, false), r.WriteHTML(&page)); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil {
		t.Fatal(err)
	}
	if _, ok := keys["logits"]; ok || keys["listed"] == nil {
		t.Errorf("keys of %s", data)
	}
	for _, s := range []string{text.String(), page.String(), string(data)} {
		if !strings.Contains(s, "correlation, MSE, differences of all logits") {
			t.Errorf("it does not say what is unknown:\n%.3000s", s)
		}
	}
	for _, absent := range []string{"correlation 0", "correlation 1", "MSE 0"} {
		if strings.Contains(text.String(), absent) {
			t.Errorf("%q in\n%s", absent, &text)
		}
	}
	if strings.Contains(page.String(), "<td>MSE</td>") || !strings.Contains(page.String(), "Log-probabilities that the reference lists") {
		t.Error("the page has figures that are not known, or no plot")
	}
}

// TestLyingServers: a number or a token that is not the model's is found, with its place.
func TestLyingServers(t *testing.T) {
	e := builtinEngine(t)
	given := len(prompts(t, e)[0].Tokens)
	for _, serve := range []func(*servertest.Server) *httptest.Server{(*servertest.Server).Llama, (*servertest.Server).OpenAI} {
		at := given + 3
		f := &servertest.Server{Engine: e, NoEcho: true}
		f.Shift = func(position int, _ int32, p float64) float64 {
			if position == at {
				return p - 0.2
			}
			return p
		}
		r, err := beside(t, e, open(t, serve(f)), remote.Auto, crossval.Strict())
		if err != nil {
			t.Fatal(err)
		}
		place := "position " + itoa(at)
		if r.Pass || !strings.Contains(r.Problems[0].Error(), "listed log-probability") || !strings.Contains(r.Problems[0].Error(), place) || r.Listed.Worst.Position != at ||
			math.Abs(r.Listed.Max-0.2) > 1e-3 {
			t.Errorf("shifted: pass %v, %v, worst %+v", r.Pass, r.Problems, r.Listed.Worst)
		}
		f = &servertest.Server{Engine: e, NoEcho: true, Draw: func(position int, id int32) int32 {
			if position == at {
				return id + 1
			}
			return id
		}}
		if r, err = beside(t, e, open(t, serve(f)), remote.Auto, crossval.Standard()); err != nil {
			t.Fatal(err)
		}
		if r.Pass || !strings.Contains(r.Problems[0].Error(), "not the likeliest of its own list") || !strings.Contains(r.Problems[0].Error(), place) || r.Tokens.Equal == r.Tokens.Tokens {
			t.Errorf("another token: pass %v, %v", r.Pass, r.Problems)
		}
	}
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// TestOtherModel: a server with other weights gives other numbers; one with another
// vocabulary is refused.
func TestOtherModel(t *testing.T) {
	e := builtinEngine(t)
	wrong, err := stages.Open(t.Context(), "", stages.Options{Devices: "cpu", Network: crossval.Override([]string{"rope.freq_base=100"})})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	f := &servertest.Server{Engine: wrong}
	r, err := beside(t, e, open(t, f.Llama()), remote.Auto, crossval.Standard())
	if err != nil {
		t.Fatal(err)
	}
	if r.Pass || r.Listed.Equal == r.Listed.Rows || r.Listed.First == nil || r.Listed.First.Gap <= 0 || r.Listed.KL <= 0.01 {
		t.Errorf("pass %v, %+v", r.Pass, r.Listed)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text, false); err != nil || !strings.Contains(text.String(), "first difference: ") || !strings.Contains(text.String(), "FAIL crossval: all cases: share of equal likeliest tokens") {
		t.Errorf("%v\n%s", err, &text)
	}
	f = &servertest.Server{Engine: e, Vocab: 32000}
	var v *remote.VocabularyError
	if _, err := beside(t, e, open(t, f.Llama()), remote.Auto, crossval.Standard()); !errors.As(err, &v) || !strings.Contains(err.Error(), "32000 tokens, this model has 1536") {
		t.Errorf("got %v", err)
	}
}

// TestOtherTokenizer: a server that tokenizes prompts in another way fails, also
// where its numbers for our tokens are the same; one that leaves out the token
// which begins every text does not.
func TestOtherTokenizer(t *testing.T) {
	e := builtinEngine(t)
	f := &servertest.Server{Engine: e, Split: func(ids []int32) []int32 { return append(ids, 5) }}
	r, err := beside(t, e, open(t, f.Llama()), remote.Auto, crossval.Standard())
	if err != nil {
		t.Fatal(err)
	}
	if r.Pass || len(r.Problems) != 2 || !strings.Contains(r.Problems[0].Error(), "case0: prompts that are tokenized differently") || r.Cases[2].Tokenized != nil {
		t.Errorf("pass %v, %v", r.Pass, r.Problems)
	}
	if bos, ok := e.Vocab().BOS(); !ok || prompts(t, e)[0].Tokens[0] != bos {
		t.Fatal("the built-in model begins no text with a token of its own")
	}
	f.Split = func(ids []int32) []int32 { return ids[1:] }
	if r, err = beside(t, e, open(t, f.Llama()), remote.Auto, crossval.Standard()); err != nil || !r.Pass {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestServerCancelled: the end of the context ends the request, with its cause.
func TestServerCancelled(t *testing.T) {
	e := builtinEngine(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	f := &servertest.Server{Engine: e, Draw: func(_ int, id int32) int32 { cancel(cause); return id }}
	s := crossval.Server{Options: remote.Options{Address: open(t, f.Llama()), Top: 3, Vocab: e.Vocab()}}
	if err := s.Write(ctx, t.TempDir(), prompts(t, e), answers); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

// TestRealServer runs against a server that somebody has started with this model:
//
//	TRITFLOW_SERVER=http://127.0.0.1:8080 TRITFLOW_SERVER_MODEL=model.gguf go test -run RealServer ./cmd/tritflow/internal/crossval
func TestRealServer(t *testing.T) {
	address, model := os.Getenv("TRITFLOW_SERVER"), os.Getenv("TRITFLOW_SERVER_MODEL")
	if address == "" || model == "" {
		t.Skip("no server: set TRITFLOW_SERVER to its address and TRITFLOW_SERVER_MODEL to the model's file")
	}
	e, err := stages.Open(t.Context(), model, stages.Options{Devices: "cpu"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	list, err := crossval.ReadPrompts("prompts", crossval.Prompts, e.Vocab())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := crossval.Server{Options: remote.Options{Address: address, Key: os.Getenv(remote.KeyVariable), Top: 20, Timeout: 10 * time.Minute, Vocab: e.Vocab()}}
	if err := s.Write(t.Context(), dir, list, 32); err != nil {
		t.Fatal(err)
	}
	d, err := crossval.OpenDump(dir, filepath.Base(model), false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := crossval.Run(t.Context(), d, crossval.Options{Engine: e, Model: model, KV: "f16", Tolerance: crossval.Standard(), Text: func(id int32) string { return string(e.Vocab().Piece(id, true)) }})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.WriteText(&text, false); err != nil || !r.Pass {
		t.Errorf("%v\n%s", err, &text)
	}
	t.Logf("%s", text.String())
}
