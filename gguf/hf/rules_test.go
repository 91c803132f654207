package hf

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"tritflow/gguf/vocab"
)

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
