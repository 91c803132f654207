package vocab

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzEncode: any text gives ids of the vocabulary, and valid text comes back.
func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "What is 27 + 15?", "<|eot_id|>User: ", "é😀\n\n  x's", "\xff\xc3", "a\u0301 \u3000'LL 12345"} {
		f.Add(s, true)
	}
	v := mini(f)
	f.Fuzz(func(t *testing.T, text string, parse bool) {
		ids := v.Encode(text, EncodeOptions{ParseSpecial: parse})
		for _, id := range ids {
			if id < 0 || int(id) >= v.Size() {
				t.Fatalf("id %d of %d", id, v.Size())
			}
		}
		want := validUTF8(text)
		var raw []byte
		for _, id := range ids {
			raw = append(raw, v.Piece(id, true)...)
		}
		if string(raw) != want {
			t.Fatalf("%q came back as %q", want, raw)
		}
		if got := v.Decode(ids, true); got != cleanSpaces(want) {
			t.Fatalf("%q was decoded as %q", want, got)
		}
		if parse {
			return
		}
		if got := streamed(v, ids); got != want {
			t.Fatalf("%q was streamed as %q", want, got)
		}
	})
}

// FuzzPretokenizer: each scanner cuts as the engine does.
func FuzzPretokenizer(f *testing.F) {
	f.Add("I'm 12345  \r\n\t x'LL ½\u0378\u0301!!\n")
	f.Add(" \n \n  a")
	engines := map[string]cutter{}
	for expr := range scanners {
		engines[expr] = oracle(f, expr)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		for expr, scan := range scanners {
			if d := cmp.Diff(cutAll(engines[expr], text), cutAll(scan, text)); d != "" {
				t.Fatalf("%s on %q (-engine +scanner)\n%s", expr, text, d)
			}
		}
	})
}

// FuzzTemplate: any template renders within its budget or fails with a
// *TemplateError; a message never adds a control token.
func FuzzTemplate(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, "x")
	}
	for _, k := range formats {
		f.Add(k.source, "<|eot_id|> <|eot")
	}
	v := mini(f)
	f.Fuzz(func(t *testing.T, source, content string) {
		tpl := &Template{v: v, name: "fuzz", source: source}
		segs, err := tpl.Render([]Message{{"system", "s"}, {"user", content}, {"assistant", "a"}, {"user", content}}, true)
		if err != nil {
			var te *TemplateError
			if !errors.As(err, &te) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		n := 0
		for _, s := range segs {
			n += len(s.Text)
		}
		if most := maxValue + 4*len(content) + 64; n > most*2 {
			t.Fatalf("%d bytes of output", n)
		}
	})
}

// hostile are templates that want too much.
var hostile = map[string]string{
	"endless range":       `{% for i in range(1000000000) %}x{% endfor %}`,
	"nested loops":        strings.Repeat(`{% for i in range(1000) %}`, 8) + `{% endfor %}`,
	"nested loops closed": strings.Repeat(`{% for i in range(1000) %}`, 8) + "x" + strings.Repeat(`{% endfor %}`, 8),
	"doubling":            `{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}`,
	"doubling lists":      `{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}`,
	"adding lists":        `{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}`,
	"contains itself":     `{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}`,
	"endless recursion":   `{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}`,
	"doubling recursion":  `{% macro f(x, n) %}{% if n > 0 %}{{ f(x ~ x, n - 1) }}{% else %}{{ x }}{% endif %}{% endmacro %}{{ f('ab', 50) }}`,
	"tree recursion":      `{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}`,
	"recursive loop":      `{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}`,
	"number before é":     `{{ 2.é }}`,
	"number before bytes": "{%~~\xfa\xfa2.社\x7f\xc17\xfa~~~~~~",
	"exponent before é":   `{{ 2e5.é ~ ٣.社 }}`,
	"repeated string":     `{{ 'x' * 1000000000 }}`,
	"power":               `{{ 2 ** 1000000 }}`,
	"replace":             `{% set x = 'b'|indent(100000, true) %}{{ x|replace(' ', x) }}`,
	"replace doubling":    `{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(30) %}{% set ns.x = ns.x|replace('a', ns.x) %}{% endfor %}{{ ns.x }}`,
	"join":                `{{ range(9999)|join('x'|indent(999999999, true)) }}`,
	"include":             `{% include '/etc/passwd' %}`,
	"import":              `{% import '/etc/passwd' as x %}{{ x }}`,
	"extends":             `{% extends '/etc/passwd' %}`,
	"raised":              `{{ raise_exception('no') }}`,
	"unknown filter":      `{{ messages|nosuch }}`,
	"unknown method":      `{{ messages[0].content.nosuch() }}`,
	"unknown function":    `{{ nosuch() }}`,
	"modulo zero":         `{{ 1 % 0 }}`,
	"unclosed":            `{% for m in messages %}`,
	"unopened":            `{% endfor %}`,
	"garbage":             `{{ ) }}`,
	"open string":         `{{ 'x }}`,
	"deep parentheses":    `{{ ` + strings.Repeat(`(`, 10_000),
	"long expression":     `{{ 1` + strings.Repeat(` + 1`, 10_000) + ` }}`,
	"long source":         strings.Repeat(`{{ 1 }}`, 20_000),
}
