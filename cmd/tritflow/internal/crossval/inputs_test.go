package crossval_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/gguf/gguftest"
	"tritflow/gguf/vocab"
	"tritflow/stages"
)

func vocabulary(t testing.TB) *vocab.Vocab {
	t.Helper()
	v, err := vocab.Load(gguftest.Open(t, "").Metadata(), vocab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestReadPrompts(t *testing.T) {
	v := vocabulary(t)
	p, err := crossval.ReadPrompts("f", "\ufeffone\r\n\n  \na\\nb \\\\n\n{\"tokens\": [3, 4]}\n{\"prompt\": \"x y\"}", v)
	if err != nil || len(p) != 4 {
		t.Fatalf("%+v, %v", p, err)
	}
	for i, want := range []string{"one", "a\nb \\n", "", "x y"} {
		if p[i].Text != want || len(p[i].Tokens) == 0 {
			t.Errorf("prompt %d is %+v, want %q", i, p[i], want)
		}
	}
	if !slices.Equal(p[2].Tokens, []int32{3, 4}) || !slices.Equal(p[0].Tokens, v.Encode("one", vocab.EncodeOptions{AddSpecial: true, ParseSpecial: true})) {
		t.Errorf("%v, %v", p[2].Tokens, p[0].Tokens)
	}
	for text, says := range map[string]string{
		"":                            "f has no prompts",
		" \n\t\n":                     "f has no prompts",
		"a\n{\"tokens\": [1536]}":     "f, line 2: token 1536 is outside the vocabulary of 1536",
		"{\"tokens\": [-1]}":          "line 1: token -1",
		"{\"tokens\": [1}":            "f, line 1: invalid character",
		"{\"tokens\": [99999999999]}": "f, line 1:",
		"{\"token\": [1]}":            "unknown field",
		"{\"tokens\": \"a\"}":         "f, line 1: tokens cannot be a JSON string",
		"{\"tokens\": [1]} [2]":       "f, line 1: there is more behind its end",
	} {
		if _, err := crossval.ReadPrompts("f", text, v); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

// TestDamagedDumps: an index, or a file beside it, that contradicts itself is
// refused with the reason.
func TestDamagedDumps(t *testing.T) {
	item := func(fields string) string { return `{"engine": "x", "items": [{"file": "a.f32", ` + fields + `}]}` }
	for name, c := range map[string]struct{ index, says string }{
		"empty":           {"", "is no index of a dump"},
		"cut":             {`{"items": [`, "is no index of a dump"},
		"of other things": {`[1, 2]`, "is no index of a dump"},
		"nothing":         {`{"engine": "x", "items": []}`, "has nothing of model m.gguf"},
		"null":            {`{"engine": "x", "items": [null]}`, "item 0 is null"},
		"only steps":      {item(`"mode": "step", "tokens": [1], "shape": [1, 2]`), "has nothing of model"},
		"no tokens":       {item(`"tokens": [], "shape": [0, 2]`), "has no tokens"},
		"no shape":        {item(`"tokens": [1]`), "is not [1 tokens, vocabulary]"},
		"other shape":     {item(`"tokens": [1, 2], "shape": [1, 2]`), "is not [2 tokens, vocabulary]"},
		"negative":        {item(`"tokens": [1], "shape": [1, -2]`), "is not [1 tokens"},
		"no vocabulary":   {item(`"tokens": [1], "shape": [1, 0]`), "is not [1 tokens"},
		"too large":       {item(`"tokens": [1], "shape": [1, 4611686018427387904]`), "is not [1 tokens, vocabulary]"},
		"too many given":  {item(`"tokens": [1], "shape": [1, 2], "given": 2`), "2 tokens of 1 cannot be the prompt"},
		"given negative":  {item(`"tokens": [1], "shape": [1, 2], "given": -1`), "cannot be the prompt"},
		"no file":         {`{"items": [{"file": "b.f32", "tokens": [1], "shape": [1, 2]}]}`, "no such file"},
		"short file":      {item(`"tokens": [1], "shape": [1, 3]`), "has 8 bytes, [1 3] float32 values are 12"},
		"empty list":      {item(`"tokens": [1], "top": [{"position": 0, "ids": [], "logprobs": []}]`), "position 0 has an empty list"},
		"list outside":    {item(`"tokens": [1], "top": [{"position": 1, "ids": [1], "logprobs": [-1]}]`), "list 0 is of position 1"},
		"lists twice":     {item(`"tokens": [1, 2], "top": [{"position": 1, "ids": [1], "logprobs": [-1]}, {"position": 1, "ids": [1], "logprobs": [-1]}]`), "list 1 is of position 1"},
		"list too long":   {item(`"tokens": [1], "top": [{"position": 0, "ids": [1, 2], "logprobs": [-1]}]`), "2 tokens with 1 log-probabilities"},
		"list of ones":    {item(`"tokens": [1], "top": [{"position": 0, "ids": [1, 2], "logprobs": [0, 0]}]`), "add up to 2"},
		"list given":      {item(`"tokens": [1], "given": 3, "top": [{"position": 0, "ids": [1], "logprobs": [-1]}]`), "cannot be the prompt"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, crossval.IndexName), c.index)
			put(t, filepath.Join(dir, "a.f32"), "12345678")
			var bad *crossval.DumpError
			if _, err := crossval.OpenDump(dir, "m.gguf", false); !errors.As(err, &bad) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	var bad *crossval.DumpError
	if _, err := crossval.OpenDump(filepath.Join(t.TempDir(), "nowhere"), "m", false); !errors.As(err, &bad) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	of := filepath.Join(t.TempDir(), "of.json")
	put(t, of, `{"items": [{"file": "a", "model": "a.gguf", "tokens": [1], "shape": [1, 2]}, {"file": "b", "model": "b.gguf", "tokens": [1], "shape": [1, 2]}]}`)
	if _, err := crossval.OpenDump(of, "", false); err == nil || !strings.Contains(err.Error(), "nothing of the model inside the program") {
		t.Errorf("got %v", err)
	}
	if _, err := crossval.OpenDump(of, "some/folder/c.gguf", false); err == nil || !strings.Contains(err.Error(), "nothing of model c.gguf") {
		t.Errorf("got %v", err)
	}
}

// TestFullContext: answers that fill the context are compared as far as there are positions.
func TestFullContext(t *testing.T) {
	e, err := stages.Open(t.Context(), "", stages.Options{Devices: "cpu", Ctx: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	dir := t.TempDir()
	s := crossval.Source{Engine: e, Name: "itself", KV: "f16"}
	if err := s.Write(t.Context(), dir, prompts(t, e)[:1], 1000); err != nil {
		t.Fatal(err)
	}
	d, err := crossval.OpenDump(dir, "", false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := crossval.Run(t.Context(), d, crossval.Options{Engine: e, KV: "f16", Tolerance: crossval.Strict()})
	if err != nil || !r.Pass || r.Logits.Rows != 24 || r.Tokens.Equal != r.Tokens.Tokens {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestDamagedWhileComparing: what turns out only beside the model.
func TestDamagedWhileComparing(t *testing.T) {
	e := builtinEngine(t)
	dir := t.TempDir()
	s := crossval.Source{Engine: e, Name: "itself", KV: "f16", Tensors: true}
	if err := s.Write(t.Context(), dir, prompts(t, e)[:1], 2); err != nil {
		t.Fatal(err)
	}
	run := func() (*crossval.Report, error) {
		d, err := crossval.OpenDump(dir, "", false)
		if err != nil {
			return nil, err
		}
		return crossval.Run(t.Context(), d, crossval.Options{Engine: e, KV: "f16", Tolerance: crossval.Strict()})
	}
	r, err := run()
	if err != nil || !r.Pass || len(r.Layers) < 10 || r.Logits.Max != 0 || r.Listed != nil {
		t.Fatalf("a dump of the same: %v, %+v", err, r)
	}
	for name, c := range map[string]struct{ file, content, says string }{
		"tensor cut":       {"case0-tensors/0.f32", "1234", "4 bytes, the network has"},
		"index of tensors": {"case0-tensors/index.json", "[", "the index of tensors cannot be read"},
		"null tensor":      {"case0-tensors/index.json", "[null]", "tensor 0 is null"},
		"other vocabulary": {crossval.IndexName, `{"items": [{"file": "one.f32", "tokens": [1], "shape": [1, 2]}]}`, "logits of 2 tokens, the model has 1536: it is of another model"},
		"list of another":  {crossval.IndexName, `{"items": [{"file": "x", "tokens": [1], "top": [{"position": 0, "ids": [1536], "logprobs": [-1]}]}]}`, "position 0 has token 1536, the model has 1536"},
		"token of another": {crossval.IndexName, `{"items": [{"file": "x", "tokens": [1536], "top": [{"position": 0, "ids": [1], "logprobs": [-1]}]}]}`, "1536"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, c.file)
			was, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			defer put(t, path, string(was))
			put(t, path, c.content)
			put(t, filepath.Join(dir, "one.f32"), "12345678")
			if _, err := run(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestToleranceFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tolerance.json")
	put(t, path, `{"mean": 0.5, "logprob": 2, "correlation": 0}`)
	got, err := crossval.ToleranceNamed(path)
	want := crossval.Standard()
	want.Name, want.Mean, want.LogProb, want.Correlation = path, 0.5, 2, 0
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"", "default"} {
		if got, err := crossval.ToleranceNamed(name); err != nil || got != crossval.Standard() {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	if got, err := crossval.ToleranceNamed("strict"); err != nil || got != crossval.Strict() {
		t.Errorf("%+v, %v", got, err)
	}
	for content, says := range map[string]string{
		"":                 "it is empty",
		"{":                "unexpected EOF",
		`{"maen": 1}`:      `unknown field "maen"`,
		`{"mean": "much"}`: "mean",
		`[]`:               "array",
		`{"mean": 1} {}`:   "more behind its end",
		`{"mean": -1}`:     "mean is -1",
	} {
		put(t, path, content)
		if _, err := crossval.ToleranceNamed(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", content, err, says)
		}
	}
	if _, err := crossval.ToleranceNamed("lax"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "neither default nor strict") {
		t.Errorf("got %v", err)
	}
}

func TestOverrides(t *testing.T) {
	for _, o := range []string{
		"", "rope.freq_base", "rope.freq_base=", "rope.freq_base=0", "rope.freq_base=-1", "rope.freq_base=NaN", "rope.freq_base=Inf", "rope.freq_base=1e99", "rope.kind=spiral",
		"activation=gelu", "norm.eps=x", "attn_sub_norm=on", "ffn_sub_norm=", "swap=k,v", "swap=q,k", "no.such=1", "6:swap=gate,up", "-1:swap=gate,up", "x:swap=gate,up", ":swap=gate,up",
	} {
		var bad *crossval.OverrideError
		e, err := stages.Open(t.Context(), "", stages.Options{Devices: "cpu", Network: crossval.Override([]string{o})})
		if !errors.As(err, &bad) || bad.Override != o {
			t.Errorf("%q: %v", o, err)
		}
		if err == nil {
			e.Close()
		}
	}
	all := []string{"rope.freq_base=20000", "rope.scale=0.5", "rope.kind=normal", "norm.eps=1e-3", "activation=silu", "attn_sub_norm=off", "5:ffn_sub_norm=off", "swap=gate,up"}
	seen := map[string]string{}
	e := builtinEngine(t)
	dir := t.TempDir()
	s := crossval.Source{Engine: e, Name: "itself", KV: "f16"}
	if err := s.Write(t.Context(), dir, prompts(t, e)[:1], 0); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		r := against(t, dir, "", stages.Options{KV: "f16", Network: crossval.Override([]string{o})}, crossval.Strict())
		if r.Pass {
			t.Errorf("%s changes nothing", o)
		}
		key := fmt.Sprint(r.Logits.MSE)
		if other, ok := seen[key]; ok {
			t.Errorf("%s does what %s does", o, other)
		}
		seen[key] = o
	}
	for _, key := range crossval.Overrides() {
		name, _, _ := strings.Cut(key, "=")
		if !slices.ContainsFunc(all, func(o string) bool {
			_, o, _ = strings.Cut(":"+o, ":")
			return strings.HasPrefix(o, name) || strings.Contains(o, name+"=")
		}) {
			t.Errorf("%s is not tried", key)
		}
	}
}
