package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// settings is what is used of tokenizer_config.json.
type settings struct {
	file     string
	BOS      content          `json:"bos_token"`
	EOS      content          `json:"eos_token"`
	Unknown  content          `json:"unk_token"`
	Pad      content          `json:"pad_token"`
	AddBOS   *bool            `json:"add_bos_token"`
	AddEOS   *bool            `json:"add_eos_token"`
	AddSpace *bool            `json:"add_prefix_space"`
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

// older lists the tokens that files of before the settings' list add to a
// SentencePiece model; those without a row of the embedding are left out.
func (f *Folder) older() ([]added, error) {
	var j struct {
		Added []added `json:"added_tokens"`
	}
	var ids map[string]int
	err := readOptional(filepath.Join(f.Path, "tokenizer.json"), &j)
	if err == nil {
		err = readOptional(filepath.Join(f.Path, "added_tokens.json"), &ids)
	}
	list := j.Added
	for _, text := range slices.Sorted(maps.Keys(ids)) {
		list = append(list, added{ID: ids[text], Content: text})
	}
	return slices.DeleteFunc(list, func(a added) bool { return a.ID >= f.Config.Vocab }), err
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
	space := s.AddSpace
	if t.model != "llama" { // byte-level ones have it in the pre-tokenizer
		space = nil
	}
	for _, k := range []struct {
		name     string
		settings *bool
		found    *bool
	}{{"add_bos_token", s.AddBOS, t.addBOS}, {"add_eos_token", s.AddEOS, t.addEOS}, {"add_space_prefix", space, t.addSpace}} {
		switch {
		case k.settings != nil:
			set(k.name, *k.settings)
		case k.found != nil:
			set(k.name, *k.found)
		}
	}
	return nil
}

// template is the chat template, "" where there is none. As in the libraries, a
// file of its own comes before the settings.
func (f *Folder) template(s *settings) (string, error) {
	jinja := filepath.Join(f.Path, "chat_template.jinja")
	raw, err := os.ReadFile(jinja)
	if err == nil {
		return string(raw), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", &Error{File: jinja, Err: err}
	}
	if len(s.Template) > 0 && string(s.Template) != "null" {
		return s.chosen(s.Template, s.file)
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
