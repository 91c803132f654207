package crossval_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/crossval"
	"tritflow/stages"
)

// pageOf is a report's page as text, after a look at its form.
func pageOf(t testing.TB, r *crossval.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	s := b.String()
	d := xml.NewDecoder(strings.NewReader(s))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the page is not well formed: %v", err)
		}
	}
	if m := regexp.MustCompile(`(?i)(src|href)=|@import|url\(|<script`).FindString(strings.ReplaceAll(s, "url(#", "")); m != "" {
		t.Errorf("the page refers to something outside it: %s", m)
	}
	return s
}

// TestPage: a page has every figure of its report, the plots, and what fails.
func TestPage(t *testing.T) {
	e := builtinEngine(t)
	dir := t.TempDir()
	s := crossval.Source{Engine: e, Name: "a <b>reference</b>", KV: "f16", Tensors: true}
	p, err := crossval.ReadPrompts("p", "Once <script>alert(1)</script> & upon\nOne day", e.Vocab())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), dir, p, 4); err != nil {
		t.Fatal(err)
	}
	good := pageOf(t, against(t, dir, "", stages.Options{KV: "f16"}, crossval.Strict()))
	wrong := against(t, dir, "", stages.Options{KV: "f16", Network: crossval.Override([]string{"2:attn_sub_norm=off"})}, crossval.Standard())
	bad := pageOf(t, wrong)
	for _, c := range []struct {
		page string
		has  []string
		not  []string
	}{
		{good, []string{
			"Everything is within the limits (strict).", "a &lt;b&gt;reference&lt;/b&gt;", "Once &lt;script&gt;alert(1)&lt;/", "<td>One day</td>",
			"<td>correlation</td><td>1.00000000</td>", "<td>MSE</td><td>0</td>", "greedy tokens before the first difference</td><td>8 of 8</td>", "perplexity, reference",
			"<td>attn_sub_norm-2</td><td>block 2</td>", ">4/4<", ">Logits<", ">Kullback-Leibler divergence<", ">Tensors, embedding to head<",
		}, []string{`class="fail"`, "listed"}},
		{bad, []string{
			`<ul class="fail"><li>crossval: block 2, attn_sub_norm-2: relative MSE is`, "The first tensor that diverges: attn_sub_norm-2 of block 2.",
			`<tr class="fail"><td>attn_sub_norm-2</td>`, "<li>crossval: all cases: correlation is", "#D55E00",
		}, []string{"Everything is within", `<tr class="fail"><td>attn_sub_norm-1</td>`}},
	} {
		for _, want := range c.has {
			if !strings.Contains(c.page, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		for _, no := range c.not {
			if strings.Contains(c.page, no) {
				t.Errorf("the page has %q", no)
			}
		}
		if n := strings.Count(c.page, "<svg"); n != 3 {
			t.Errorf("%d plots", n)
		}
	}
	var text bytes.Buffer
	if err := wrong.WriteText(&text, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"layers     the first that diverges is attn_sub_norm-2 of block 2", "diverges", "first difference: ", "FAIL crossval: block 2, attn_sub_norm-2", "block 5"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, &text)
		}
	}
}

// TestBaselines: a file that is no baseline, or one of something else, is refused.
func TestBaselines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "baseline.json")
	for content, says := range map[string]string{
		"":                  "is no baseline",
		`{"cases": [null]}`: "a case contradicts itself",
		`{"cases": [{}]}`:   "a case contradicts itself",
		`{"machines": 1}`:   "unknown field",
		`{"cases": [{"tokens": [1], "top_ids": [1], "top_logits": []}]}`: "a case contradicts itself",
	} {
		put(t, path, content)
		if _, err := crossval.ReadBaseline(path); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", content, err)
		}
	}
	one := func() *crossval.Baseline {
		return &crossval.Baseline{Model: "m", KV: "f16", Machine: crossval.Machine{Kinds: []string{"cpu"}}, Cases: []*crossval.BaselineCase{{Tokens: []int32{1}, Answer: []int32{2}, SHA256: "a", TopIDs: []int32{5}, Top: []float32{1}}}}
	}
	for says, change := range map[string]func(b *crossval.Baseline){
		"another model":                        func(b *crossval.Baseline) { b.Model = "n" },
		"another type of keys and values":      func(b *crossval.Baseline) { b.KV = "q8_0" },
		"another number of prompts":            func(b *crossval.Baseline) { b.Cases = nil },
		"another prompt":                       func(b *crossval.Baseline) { b.Cases[0].Tokens = []int32{3} },
		"share with the same bits is 0":        func(b *crossval.Baseline) { b.Cases[0].SHA256 = "b" },
		"share of equal greedy answers is 0":   func(b *crossval.Baseline) { b.Cases[0].Answer = []int32{9} },
		"mean difference of the largest logit": func(b *crossval.Baseline) { b.Cases[0].Top = []float32{2}; b.Machine.Kinds = []string{"cuda"} },
	} {
		now := one()
		change(now)
		r, err := crossval.ComparePlatforms(one(), now, crossval.Strict())
		said := ""
		if err != nil {
			said = err.Error()
		} else if !r.Pass {
			said = r.Problems[0].Error()
		}
		if !strings.Contains(said, says) {
			t.Errorf("%q, want %q", said, says)
		}
	}
	if r, err := crossval.ComparePlatforms(one(), one(), crossval.Strict()); err != nil || !r.Pass || !r.MustMatch {
		t.Errorf("the same: %+v, %v", r, err)
	}
}
