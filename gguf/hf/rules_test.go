package hf

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"tritflow/gguf/vocab"
)

// TestOlderAddedTokens: tokens that stand beside a SentencePiece model in
// added_tokens.json or tokenizer.json, where the settings do not list them.
func TestOlderAddedTokens(t *testing.T) {
	model := proto([]string{"<unk>", "<s>", "</s>", "a"}, []float32{0, 0, 0, -1}, []int64{2, 3, 3, 1}, bpeKind)
	tok, err := folder(t, 8, map[string][]byte{
		"tokenizer.model":       model,
		"tokenizer_config.json": []byte(`{"added_tokens_decoder":{"4":{"content":"<a>","special":true}}}`),
		"tokenizer.json":        []byte(`{"added_tokens":[{"id":1,"content":"<s>","special":true},{"id":5,"content":"<b>","special":true},{"id":9,"content":"<no row>"}]}`),
		"added_tokens.json":     []byte(`{"<a>":4,"<c>":6,"<no row>":8}`),
	}).Tokenizer("")
	if err != nil {
		t.Fatal(err)
	}
	v := load(t, tok)
	for id, want := range []struct {
		text string
		typ  vocab.TokenType
	}{
		{"<unk>", vocab.Unknown}, {"<s>", vocab.Control}, {"</s>", vocab.Control}, {"a", vocab.Normal},
		{"<a>", vocab.Control}, {"<b>", vocab.Control}, {"<c>", vocab.UserDefined}, {"[PAD7]", vocab.Unused},
	} {
		if got, typ := v.Text(int32(id)), v.Type(int32(id)); got != want.text || typ != want.typ {
			t.Errorf("token %d is %q of type %d, want %q of type %d", id, got, typ, want.text, want.typ)
		}
	}
	if v.Size() != 8 {
		t.Errorf("%d tokens", v.Size())
	}
}

// TestSpaceBefore: a Metaspace puts a space before a text unless it says never.
func TestSpaceBefore(t *testing.T) {
	for rule, want := range map[string][]int32{
		`"replacement":"▁","prepend_scheme":"always"`: {2, 2},
		`"replacement":"▁","prepend_scheme":"first"`:  {2, 2},
		`"replacement":"▁","add_prefix_space":true`:   {2, 2},
		`"replacement":"▁","prepend_scheme":"never"`:  {1, 2},
		`"replacement":"▁","add_prefix_space":false`:  {1, 2},
	} {
		raw := `{"pre_tokenizer":{"type":"Metaspace",` + rule + `},"model":{"type":"BPE","byte_fallback":true,"vocab":{"<unk>":0,"a":1,"▁a":2,"▁":3},"merges":["▁ a"]}}`
		tok, err := folder(t, 4, map[string][]byte{"tokenizer.json": []byte(raw)}).Tokenizer("")
		if err != nil {
			t.Fatal(err)
		}
		if got := load(t, tok).Encode("a a", vocab.EncodeOptions{}); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", rule, got, want)
		}
	}
}

// TestSpaceBySettings: tokenizer_config.json has the last word.
func TestSpaceBySettings(t *testing.T) {
	const raw = `{"pre_tokenizer":{"type":"Metaspace","prepend_scheme":"first"},"model":{"type":"BPE","byte_fallback":true,"vocab":{"<unk>":0,"a":1,"▁a":2,"▁":3},"merges":["▁ a"]}}`
	for settings, want := range map[string]int32{`{}`: 2, `{"add_prefix_space":null}`: 2, `{"add_prefix_space":true}`: 2, `{"add_prefix_space":false}`: 1} {
		tok, err := folder(t, 4, map[string][]byte{"tokenizer.json": []byte(raw), "tokenizer_config.json": []byte(settings)}).Tokenizer("")
		if err != nil {
			t.Fatal(err)
		}
		if got := load(t, tok).Encode("a", vocab.EncodeOptions{}); !slices.Equal(got, []int32{want}) {
			t.Errorf("%s: %v, want %d", settings, got, want)
		}
	}
}

// TestRulesRefused: rules that would give other tokens when they are left out.
func TestRulesRefused(t *testing.T) {
	const bytes = `"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}`
	const pieces = `"model":{"type":"BPE","byte_fallback":true,"vocab":{"a":0,"b":1},"merges":["a b"]}`
	const split = `{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{N}"},"behavior":"%s","invert":%t},{"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]}`
	for raw, field := range map[string]string{
		`{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},` + bytes + `}`:                               "pre_tokenizer.add_prefix_space",
		`{"normalizer":{"type":"Replace","pattern":{"String":"b"},"content":"a"},` + pieces + `}`:                    "normalizer",
		`{"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"_"},` + pieces + `}`:                    "normalizer",
		`{"normalizer":{"type":"Replace","pattern":{"Regex":" +"},"content":"▁"},` + pieces + `}`:                    "normalizer",
		`{"pre_tokenizer":` + fmt.Sprintf(split, "MergedWithPrevious", false) + `,` + bytes + `}`:                    "pre_tokenizer.behavior",
		`{"pre_tokenizer":` + fmt.Sprintf(split, "Isolated", true) + `,` + bytes + `}`:                               "pre_tokenizer.behavior",
		`{"pre_tokenizer":` + fmt.Sprintf(split, "Isolated", false) + `,` + bytes + `}`:                              "",
		`{"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},` + pieces + `}`:                    "",
		`{"pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious"},` + pieces + `}`: "",
	} {
		_, err := folder(t, 2, map[string][]byte{"tokenizer.json": []byte(raw)}).Tokenizer("")
		var e *Error
		if field == "" && err != nil || field != "" && (!errors.As(err, &e) || e.Field != field) {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
