package vocab

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tritflow/gguf/builtin"
)

func mini(t testing.TB) *Vocab {
	t.Helper()
	f, err := builtin.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	v, err := Load(f.Metadata(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func readJSON(t *testing.T, path string, to any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// TestBuiltin: prompts and answers of the built-in model give the ids that it
// was trained and tested with.
func TestBuiltin(t *testing.T) {
	v := mini(t)
	tpl, err := v.Template()
	if err != nil {
		t.Fatal(err)
	}
	if tpl.Name() != "file" || tpl.Note() != "" {
		t.Errorf("template %q (%s), want the file's", tpl.Name(), tpl.Note())
	}
	var items []struct {
		Kind, Prompt, Text string
		IDs, Greedy        []int32
	}
	readJSON(t, "testdata/mini.json", &items)
	chats := 0
	for _, it := range items {
		got := v.Encode(it.Prompt, EncodeOptions{AddSpecial: true})
		if it.Kind == "chat" {
			chats++
			segs, err := tpl.Render([]Message{{"user", it.Prompt}}, true)
			if err != nil {
				t.Fatal(err)
			}
			got = v.EncodeSegments(segs, true)
			if d := cmp.Diff(got, v.EncodeSegments(segs, false)); d != "" {
				t.Errorf("%q: the template writes BOS, so adding specials must change nothing:\n%s", it.Prompt, d)
			}
		}
		if d := cmp.Diff(it.IDs, got); d != "" {
			t.Errorf("%s %q: ids differ (-want +got)\n%s", it.Kind, it.Prompt, d)
		}
		if got := streamed(v, it.Greedy); strings.TrimPrefix(got, " ") != strings.TrimPrefix(it.Text, " ") {
			t.Errorf("%q: answer %q, want %q", it.Prompt, got, it.Text)
		}
	}
	if chats == 0 {
		t.Error("no chat items")
	}
}

// TestTemplatesLikeJinja2 compares with what Python's Jinja2 makes of
// templates in the styles that model files use (rendered as Hugging Face's
// apply_chat_template does).
func TestTemplatesLikeJinja2(t *testing.T) {
	var cases []struct {
		Name, Source, Want string
		Messages           []Message
		Generate           bool
	}
	readJSON(t, "testdata/templates.json", &cases)
	for _, c := range cases {
		got, err := renderJinja(c.Name, c.Source, chat{msgs: c.Messages, gen: c.Generate, bos: "<s>", eos: "</s>"})
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if d := cmp.Diff(c.Want, got); d != "" {
			t.Errorf("%s, generation prompt %v: differs (-want +got)\n%s", c.Name, c.Generate, d)
		}
	}
}

var errTemplate *TemplateError

func wantTemplateError(t *testing.T, err error) {
	t.Helper()
	if !errors.As(err, &errTemplate) {
		t.Errorf("got error %v, want a *TemplateError", err)
	}
}
