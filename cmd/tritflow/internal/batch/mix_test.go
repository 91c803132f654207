package batch

import (
	"io"
	"math"
	"strings"
	"testing"

	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/openai"
	"tritflow/stages/sample"
)

// TestMix: what requests read and may write is guessed from their texts.
func TestMix(t *testing.T) {
	prompt := strings.Repeat("word ", 80) // 400 bytes, some 100 tokens
	defaults := openai.Defaults{MaxTokens: 50, Sampling: sample.Params{TopP: 1}}
	line := func(body string) string {
		return `{"custom_id":"x","url":"/v1/completions","body":{` + body + `}}` + "\n"
	}
	chat := `{"custom_id":"y","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"` + prompt + `"}],"max_tokens":400}}` + "\n"
	for _, c := range []struct {
		name, text string
		json, chat bool
		want       float64
	}{
		{"nothing", "", true, false, 0},
		{"no requests", "x\n{}\n", true, false, 0},
		{"the default of tokens", line(`"prompt":"` + prompt + `"`), true, false, 2},
		{"its own", line(`"prompt":"` + prompt + `","max_tokens":4`), true, false, 25},
		{"choices read and write", line(`"prompt":"` + prompt + `","max_tokens":4,"n":3`), true, false, 25},
		{"tokens", line(`"prompt":[[1,2,3],[4]],"max_tokens":2`), true, false, 1},
		{"chat", chat, true, false, 0.25},
		{"a chat and a line that is refused", chat + line(`"prompt":5`), true, false, 0.25},
		{"endless answers", line(`"prompt":"` + prompt + `","max_tokens":2000000000`), true, false, 100. / 4096},
		{"lines of text", prompt + "\n" + prompt + "\n", false, false, 2},
		{"messages", prompt + "\n", false, true, 2},
		{"not all of it", strings.Repeat(line(`"prompt":"`+prompt+`"`), mixLines) + strings.Repeat(chat, 1000), true, false, 2},
	} {
		src := input.NewLines(io.NopCloser(strings.NewReader(c.text)), !c.json, 0)
		if got := Mix(src, c.json, c.chat, defaults); math.Abs(got-c.want) > 0.02*c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
