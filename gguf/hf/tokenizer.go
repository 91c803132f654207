package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Key is a metadata pair of a GGUF file.
type Key struct {
	Name  string
	Value any
}

// Tokenizer is a folder's tokenizer in the terms of GGUF files.
type Tokenizer struct {
	Keys  []Key
	Notes []string // what was assumed
}

// Token types of GGUF.
const (
	normal      int32 = 1
	unknown     int32 = 2
	control     int32 = 3
	userDefined int32 = 4
	unused      int32 = 5
	byteToken   int32 = 6
)

// tokens are the entries of a vocabulary.
type tokens struct {
	file   string
	model  string // "gpt2" (byte-level BPE) or "llama" (SPM)
	pre    string
	texts  []string
	types  []int32 // 0: no such token
	scores []float32
	merges []string

	addBOS, addEOS, addSpace *bool
}

// Tokenizer reads tokenizer.json or tokenizer.model, whichever says more: a
// SentencePiece model first, because it has the scores. pre, when not "", names
// the pre-tokenizer instead of finding it by its expressions.
func (f *Folder) Tokenizer(pre string) (*Tokenizer, error) {
	settings, err := f.settings()
	if err != nil {
		return nil, err
	}
	t, err := f.tokens(pre)
	if err != nil {
		return nil, err
	}
	if err := t.addAll(settings.added()); err != nil {
		return nil, err
	}
	out := &Tokenizer{}
	if err := t.pad(f.Config, out); err != nil {
		return nil, err
	}
	set := func(name string, value any) { out.Keys = append(out.Keys, Key{"tokenizer.ggml." + name, value}) }
	set("model", t.model)
	if t.pre != "" {
		set("pre", t.pre)
	}
	set("tokens", t.texts)
	if t.scores != nil {
		set("scores", t.scores)
	}
	set("token_type", t.types)
	if t.model == "gpt2" {
		set("merges", t.merges)
	}
	if err := f.special(t, settings, set); err != nil {
		return nil, err
	}
	template, err := f.template(settings)
	if err != nil {
		return nil, err
	}
	if template != "" {
		out.Keys = append(out.Keys, Key{"tokenizer.chat_template", template})
	}
	return out, nil
}

// tokens finds the file that describes the vocabulary.
func (f *Folder) tokens(pre string) (*tokens, error) {
	model, tok := filepath.Join(f.Path, "tokenizer.model"), filepath.Join(f.Path, "tokenizer.json")
	raw, err := os.ReadFile(model)
	switch {
	case err == nil && looksLikeRanks(raw):
		if _, err := os.Stat(tok); err == nil {
			return readTokenizerJSON(tok, pre)
		}
		return readRanks(model, raw, pre)
	case err == nil:
		return readSentencePiece(model, raw)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, &Error{File: model, Err: err}
	}
	if _, err := os.Stat(tok); err != nil {
		return nil, &Error{File: f.Path, Reason: "there is neither tokenizer.json nor tokenizer.model"}
	}
	return readTokenizerJSON(tok, pre)
}

// added is a token that was added to a vocabulary.
type added struct {
	ID      int    `json:"id"`
	Content string `json:"content"`
	Special bool   `json:"special"`
}

// addAll puts added tokens in their places.
func (t *tokens) addAll(list []added) error {
	for _, a := range list {
		const most = 1 << 24
		if a.ID < 0 || a.ID > most {
			return &Error{File: t.file, Reason: fmt.Sprintf("added token %q has id %d", a.Content, a.ID)}
		}
		t.reach(a.ID + 1)
		if t.types[a.ID] == 0 || t.types[a.ID] == normal {
			t.texts[a.ID], t.types[a.ID] = a.Content, userDefined
			if a.Special {
				t.types[a.ID] = control
			}
		}
	}
	return nil
}

// reach makes room for n tokens.
func (t *tokens) reach(n int) {
	for len(t.texts) < n {
		t.texts = append(t.texts, "")
		t.types = append(t.types, 0)
		if t.scores != nil {
			t.scores = append(t.scores, 0)
		}
	}
}

// pad gives every row of the embedding an entry.
func (t *tokens) pad(c *Config, out *Tokenizer) error {
	if len(t.texts) > c.Vocab {
		return &Error{File: t.file, Reason: fmt.Sprintf("it has %d tokens, config.json says vocab_size %d: they belong to different models", len(t.texts), c.Vocab)}
	}
	t.reach(c.Vocab)
	n := 0
	for i := range t.texts {
		if t.types[i] == 0 {
			t.texts[i], t.types[i] = fmt.Sprintf("[PAD%d]", i), unused
			n++
		}
	}
	if n > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%d rows of the embedding have no token; they are marked as unused", n))
	}
	return nil
}

// settings is what is used of tokenizer_config.json.
type settings struct {
	file     string
	BOS      content          `json:"bos_token"`
	EOS      content          `json:"eos_token"`
	Unknown  content          `json:"unk_token"`
	Pad      content          `json:"pad_token"`
	AddBOS   *bool            `json:"add_bos_token"`
	AddEOS   *bool            `json:"add_eos_token"`
	Template json.RawMessage  `json:"chat_template"`
	Decoder  map[string]added `json:"added_tokens_decoder"`
}

// content is a token as a string or as an object with its text.
type content string

// UnmarshalJSON reads either form.
func (c *content) UnmarshalJSON(raw []byte) error {
	var s *string
	if json.Unmarshal(raw, &s) == nil {
		if s != nil {
			*c = content(*s)
		}
		return nil
	}
	var o struct{ Content string }
	err := json.Unmarshal(raw, &o)
	*c = content(o.Content)
	return err
}

func (f *Folder) settings() (*settings, error) {
	s := &settings{file: filepath.Join(f.Path, "tokenizer_config.json")}
	return s, readOptional(s.file, s)
}

// readOptional reads a JSON file that need not be there.
func readOptional(path string, to any) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(raw, to)
	}
	if err != nil {
		return &Error{File: path, Reason: "it cannot be read", Err: err}
	}
	return nil
}

// added lists the tokens that the settings add.
func (s *settings) added() []added {
	var list []added
	for id, a := range s.Decoder {
		if _, err := fmt.Sscanf(id, "%d", &a.ID); err == nil {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b added) int { return a.ID - b.ID })
	return list
}

// special sets the ids of special tokens and what is put around a text.
func (f *Folder) special(t *tokens, s *settings, set func(string, any)) error {
	gen, err := f.Generation()
	if err != nil {
		return err
	}
	ids := map[string]int{}
	for _, k := range []struct {
		name string
		text content
		ids  IDs
	}{{"bos", s.BOS, f.Config.BOS}, {"eos", s.EOS, f.Config.EOS}, {"unknown", s.Unknown, nil}, {"padding", s.Pad, f.Config.Pad}} {
		id := -1
		if k.text != "" {
			id = slices.Index(t.texts, string(k.text))
		}
		if id < 0 && len(k.ids) > 0 {
			id = k.ids[0]
		}
		if id < 0 || id >= len(t.texts) { // pad_token_id of −1 and the like mean none
			continue
		}
		ids[k.name] = id
		set(k.name+"_token_id", uint32(id))
	}
	// A model may end its turn with another token than its text.
	for _, id := range slices.Concat(gen.EOS, f.Config.EOS) {
		if eos, ok := ids["eos"]; ok && id != eos && id >= 0 && id < len(t.texts) {
			set("eot_token_id", uint32(id))
			break
		}
	}
	for _, k := range []struct {
		name     string
		settings *bool
		found    *bool
	}{{"add_bos_token", s.AddBOS, t.addBOS}, {"add_eos_token", s.AddEOS, t.addEOS}, {"add_space_prefix", nil, t.addSpace}} {
		switch {
		case k.settings != nil:
			set(k.name, *k.settings)
		case k.found != nil:
			set(k.name, *k.found)
		}
	}
	return nil
}

// template is the chat template, "" where there is none.
func (f *Folder) template(s *settings) (string, error) {
	if len(s.Template) > 0 && string(s.Template) != "null" {
		return s.chosen(s.Template, s.file)
	}
	jinja := filepath.Join(f.Path, "chat_template.jinja")
	raw, err := os.ReadFile(jinja)
	if err == nil {
		return string(raw), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", &Error{File: jinja, Err: err}
	}
	file := filepath.Join(f.Path, "chat_template.json")
	var o struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := readOptional(file, &o); err != nil || len(o.Template) == 0 {
		return "", err
	}
	return s.chosen(o.Template, file)
}

// chosen is a template that is given as a string, or the default one of a list.
func (s *settings) chosen(raw json.RawMessage, file string) (string, error) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one, nil
	}
	var list []struct{ Name, Template string }
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return "", &Error{File: file, Field: "chat_template", Reason: "it is neither a string nor a list of named templates"}
	}
	for _, t := range list {
		if strings.EqualFold(t.Name, "default") {
			return t.Template, nil
		}
	}
	return list[0].Template, nil
}

// Generation is what is used of generation_config.json.
type Generation struct {
	EOS         IDs      `json:"eos_token_id"`
	Sample      *bool    `json:"do_sample"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	TopK        *int     `json:"top_k"`
}

// Generation reads generation_config.json, which need not be there.
func (f *Folder) Generation() (*Generation, error) {
	g := &Generation{}
	return g, readOptional(filepath.Join(f.Path, "generation_config.json"), g)
}
