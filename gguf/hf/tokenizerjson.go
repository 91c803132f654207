package hf

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"tritflow/gguf/vocab"
)

// tokenizerJSON is what is used of tokenizer.json.
type tokenizerJSON struct {
	Added      []added  `json:"added_tokens"`
	Normalizer *rule    `json:"normalizer"`
	Pre        *rule    `json:"pre_tokenizer"`
	Post       *rule    `json:"post_processor"`
	Model      bpeModel `json:"model"`
}

type bpeModel struct {
	Type         string            `json:"type"`
	Vocab        json.RawMessage   `json:"vocab"`
	Merges       []json.RawMessage `json:"merges"`
	ByteFallback bool              `json:"byte_fallback"`
	IgnoreMerges bool              `json:"ignore_merges"`
}

// rule is a normalizer, pre-tokenizer or post-processor; which fields count depends on its type.
type rule struct {
	Type          string          `json:"type"`
	Normalizers   []rule          `json:"normalizers"`
	Pretokenizers []rule          `json:"pretokenizers"`
	Processors    []rule          `json:"processors"`
	Pattern       json.RawMessage `json:"pattern"` // {"Regex": ...} or {"String": ...}
	Content       string          `json:"content"` // what a Replace puts there
	Prepend       string          `json:"prepend"`
	Scheme        string          `json:"prepend_scheme"` // of a Metaspace: "always", "first" or "never"
	PrefixSpace   *bool           `json:"add_prefix_space"`
	Behavior      string          `json:"behavior"` // of a Split: what becomes of the matches
	Invert        bool            `json:"invert"`
	UseRegex      *bool           `json:"use_regex"`
	Individual    bool            `json:"individual_digits"`
	Single        []piece         `json:"single"`
}

type piece struct {
	Special *struct{ ID string } `json:"SpecialToken"`
}

// flat is the rule as a list, without the sequences in it.
func (r *rule) flat() []rule {
	if r == nil {
		return nil
	}
	if r.Type != "Sequence" {
		return []rule{*r}
	}
	var all []rule
	for _, list := range [][]rule{r.Normalizers, r.Pretokenizers, r.Processors} {
		for i := range list {
			all = append(all, list[i].flat()...)
		}
	}
	return all
}

func readTokenizerJSON(path, pre string) (*tokens, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{File: path, Err: err}
	}
	var j tokenizerJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, &Error{File: path, Reason: "it cannot be read", Err: err}
	}
	if j.Model.Type != "BPE" {
		return nil, &Error{File: path, Field: "model.type", Reason: fmt.Sprintf("%q: only BPE is supported", j.Model.Type)}
	}
	t := &tokens{file: path}
	if err := t.words(&j.Model); err != nil {
		return nil, err
	}
	if t.bytes(j.Pre) {
		err = t.byteLevel(&j, pre)
	} else {
		err = t.pieces(&j)
	}
	if err != nil {
		return nil, err
	}
	if err := t.addAll(j.Added); err != nil {
		return nil, err
	}
	t.around(j.Post)
	return t, nil
}

// words reads the vocabulary and its merges.
func (t *tokens) words(m *bpeModel) error {
	var ids map[string]int
	if err := json.Unmarshal(m.Vocab, &ids); err != nil {
		return &Error{File: t.file, Field: "model.vocab", Reason: "it cannot be read", Err: err}
	}
	const most = 1 << 24
	for text, id := range ids {
		if id < 0 || id > most {
			return &Error{File: t.file, Field: "model.vocab", Reason: fmt.Sprintf("token %q has id %d", text, id)}
		}
		t.reach(id + 1)
		if t.types[id] != 0 {
			return &Error{File: t.file, Field: "model.vocab", Reason: fmt.Sprintf("id %d belongs to %q and to %q", id, t.texts[id], text)}
		}
		t.texts[id], t.types[id] = text, normal
	}
	for i, raw := range m.Merges {
		var merge string
		if json.Unmarshal(raw, &merge) != nil {
			var pair []string
			if err := json.Unmarshal(raw, &pair); err != nil || len(pair) != 2 {
				return &Error{File: t.file, Field: fmt.Sprintf("model.merges[%d]", i), Reason: "it is no pair of tokens"}
			}
			merge = pair[0] + " " + pair[1]
		}
		t.merges = append(t.merges, merge)
	}
	return nil
}

// bytes tells byte-level vocabularies by their pre-tokenizer.
func (t *tokens) bytes(pre *rule) bool {
	for _, r := range pre.flat() {
		if r.Type == "ByteLevel" {
			return true
		}
	}
	return false
}

// byteLevel is a vocabulary whose tokens are bytes: what is cut before is told
// by expressions, which have to be those of a known pre-tokenizer.
func (t *tokens) byteLevel(j *tokenizerJSON, pre string) error {
	t.model, t.pre = "gpt2", pre
	for _, r := range j.Normalizer.flat() {
		if r.Type != "NFC" { // engines that read GGUF files leave it out
			return &Error{File: t.file, Field: "normalizer", Reason: fmt.Sprintf("%q is not supported", r.Type)}
		}
	}
	for _, r := range j.Pre.flat() {
		if r.PrefixSpace != nil && *r.PrefixSpace {
			return &Error{File: t.file, Field: "pre_tokenizer.add_prefix_space", Reason: "a space that is put before texts is not supported in vocabularies of bytes"}
		}
	}
	if pre != "" {
		return nil
	}
	patterns, err := t.patterns(j.Pre)
	if err != nil {
		return err
	}
	name, ok := vocab.PreByExpressions(patterns, j.Model.IgnoreMerges)
	if !ok {
		return &Error{File: t.file, Field: "pre_tokenizer",
			Reason: fmt.Sprintf("no known pre-tokenizer cuts by %q; name the one that the model was trained with (--pre)", patterns)}
	}
	t.pre = name
	return nil
}

// Expressions that stand for rules without one of their own.
const (
	gpt2Expression = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	digit          = `\p{N}`
	digits         = `\p{N}+`
)

// pattern is what a rule looks for, a regular expression or a text.
func (r *rule) pattern() (regex, text string) {
	var p struct{ Regex, String string }
	if json.Unmarshal(r.Pattern, &p) != nil {
		return "", ""
	}
	return p.Regex, p.String
}

func (t *tokens) patterns(pre *rule) ([]string, error) {
	var all []string
	for _, r := range pre.flat() {
		switch r.Type {
		case "ByteLevel":
			if r.UseRegex == nil || *r.UseRegex {
				all = append(all, gpt2Expression)
			}
		case "Digits":
			if r.Individual {
				all = append(all, digit)
			} else {
				all = append(all, digits)
			}
		case "Split":
			regex, _ := r.pattern()
			if regex == "" {
				return nil, &Error{File: t.file, Field: "pre_tokenizer", Reason: "a Split without a regular expression is not supported"}
			}
			// Removed and inverted: only what does not match would go, and known expressions match everything.
			if !(r.Behavior == "" || r.Behavior == "Isolated" && !r.Invert || r.Behavior == "Removed" && r.Invert) {
				return nil, &Error{File: t.file, Field: "pre_tokenizer.behavior", Reason: fmt.Sprintf("a Split that is %q (inverted: %t) is not supported", r.Behavior, r.Invert)}
			}
			all = append(all, regex)
		default:
			return nil, &Error{File: t.file, Field: "pre_tokenizer", Reason: fmt.Sprintf("%q is not supported", r.Type)}
		}
	}
	return all, nil
}

// pieces is a SentencePiece vocabulary that was saved as BPE: spaces are U+2581,
// bytes have tokens, and what merges first has the lower id.
func (t *tokens) pieces(j *tokenizerJSON) error {
	if !j.Model.ByteFallback {
		return &Error{File: t.file, Field: "model.byte_fallback", Reason: "a vocabulary without tokens for bytes is not supported"}
	}
	t.model = "llama"
	space := false
	for _, r := range j.Normalizer.flat() {
		_, old := r.pattern()
		switch {
		case r.Type == "Prepend":
			space = true
		case r.Type == "Replace" && old == " " && r.Content == "▁":
		case r.Type == "Replace":
			return &Error{File: t.file, Field: "normalizer", Reason: fmt.Sprintf("replacing %s by %q is not supported, only spaces by ▁ are", r.Pattern, r.Content)}
		default:
			return &Error{File: t.file, Field: "normalizer", Reason: fmt.Sprintf("%q is not supported", r.Type)}
		}
	}
	for _, r := range j.Pre.flat() {
		if r.Type != "Metaspace" && r.Type != "Split" {
			return &Error{File: t.file, Field: "pre_tokenizer", Reason: fmt.Sprintf("%q is not supported", r.Type)}
		}
		never := r.Scheme == "never" || r.Scheme == "" && r.PrefixSpace != nil && !*r.PrefixSpace
		space = space || r.Type == "Metaspace" && !never
	}
	t.addSpace = &space
	t.scores = make([]float32, len(t.texts))
	for i, text := range t.texts {
		t.scores[i] = -float32(i)
		if isByteToken(text) {
			t.types[i] = byteToken
		}
		if text == "<unk>" {
			t.types[i] = unknown
		}
	}
	return nil
}

func isByteToken(text string) bool {
	return len(text) == 6 && strings.HasPrefix(text, "<0x") && text[5] == '>' && strings.Trim(text[3:5], "0123456789ABCDEF") == ""
}

// around finds out what a post-processor puts before and after a text.
func (t *tokens) around(post *rule) {
	for _, r := range post.flat() {
		if r.Type != "TemplateProcessing" || len(r.Single) == 0 {
			continue
		}
		first, last := r.Single[0].Special != nil, r.Single[len(r.Single)-1].Special != nil
		t.addBOS, t.addEOS = &first, &last
	}
}
