package hf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	list := settings.added()
	if t.model == "llama" {
		older, err := f.older()
		if err != nil {
			return nil, err
		}
		list = append(list, older...)
	}
	if err := t.addAll(list); err != nil {
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
