package vocab

import "testing"

func TestPreByExpressions(t *testing.T) {
	const (
		gpt2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
		llama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
		qwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	)
	for _, c := range []struct {
		exprs  []string
		ignore bool
		want   string
	}{
		{[]string{llama3}, true, "llama-bpe"}, {[]string{qwen2}, false, "qwen2"}, {[]string{gpt2}, false, "gpt-2"},
		{[]string{`\p{N}`, gpt2}, false, "smollm"}, {[]string{"x+"}, false, ""}, {nil, false, ""}, {[]string{gpt2, `\p{N}`}, false, ""},
	} {
		got, ok := PreByExpressions(c.exprs, c.ignore)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q: %q, want %q", c.exprs, got, c.want)
		}
	}
}
