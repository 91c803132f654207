package vocab

import (
	"fmt"
	"slices"
	"strings"
)

// Message is one turn of a chat.
type Message struct {
	Role    string // system, user, assistant
	Content string
}

// Template renders chats. It is immutable and safe for concurrent use.
type Template struct {
	v      *Vocab
	name   string
	note   string
	source string // Jinja; "" for raw
}

// Names of templates beside the published formats in known.go.
const (
	templateFile = "file" // the file's own
	templateRaw  = "raw"  // messages as they are, one below the other
)

// placeholder marks a template that one converter writes into every BitNet
// file and that no model was trained with.
const placeholder = "BITNETAssistant"

// bitnetArchs are the architectures whose chat models were trained with the
// BitNet format.
var bitnetArchs = []string{"bitnet-25", "bitnet-b1.58", "bitnet-1.58"}

// Template returns the chat template: the file's, unless it is known to be
// wrong or cannot be used and is recognised, a supplied one where it is
// missing. A template that is neither usable nor recognised is a
// *TemplateError.
func (v *Vocab) Template() (*Template, error) {
	switch {
	case strings.Contains(v.template, placeholder):
		return v.known("bitnet", "the file's template is a converter's placeholder: the format of training is used instead")
	case v.template != "":
		t := &Template{v: v, name: templateFile, source: v.template}
		_, err := t.Render([]Message{{Role: "user", Content: "x"}}, true)
		if err == nil {
			return t, nil
		}
		if name := recognise(v.template); name != "" {
			return v.known(name, fmt.Sprintf("the file's template was recognised as this format; it cannot be rendered itself (%v)", err))
		}
		return nil, err
	case slices.Contains(bitnetArchs, v.arch):
		if _, ok := v.ID("<|eot_id|>"); ok {
			return v.known("bitnet", "the file has no template: the format that BitNet b1.58 2B-4T was trained with is used")
		}
	}
	return v.known(templateRaw, "the file has no template: messages are passed on as they are")
}

// TemplateNamed returns a format by name (TemplateNames) instead of the file's.
func (v *Vocab) TemplateNamed(name string) (*Template, error) {
	return v.known(name, "chosen by name")
}

// TemplateNames lists the formats that TemplateNamed knows, sorted.
func TemplateNames() []string {
	names := []string{templateRaw}
	for _, f := range formats {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

func (v *Vocab) known(name, note string) (*Template, error) {
	t := &Template{v: v, name: name, note: note}
	if name == templateRaw {
		return t, nil
	}
	for _, f := range formats {
		if f.name == name {
			t.source = f.source
			return t, nil
		}
	}
	return nil, &TemplateError{Template: name, Reason: "no format has this name; known are " + strings.Join(TemplateNames(), ", ")}
}

// Name says which one is in use: "file" or one of TemplateNames.
func (t *Template) Name() string { return t.name }

// Note says why, when it is not the file's; "" when it is.
func (t *Template) Note() string { return t.note }

// Render gives the prompt for a chat, with the beginning of the assistant's
// turn when addGenerationPrompt is set. Text that comes from messages never
// becomes special tokens, whatever it says: the segments are cut wherever it
// could. Only what the template itself writes does. A template that fails,
// takes too long or writes too much is a *TemplateError.
func (t *Template) Render(msgs []Message, addGenerationPrompt bool) ([]Segment, error) {
	if t.name == templateRaw {
		var segs []Segment
		for i, m := range msgs {
			if i > 0 {
				segs = append(segs, Segment{Text: "\n"})
			}
			segs = append(segs, Segment{Text: m.Content})
		}
		return segs, nil
	}
	mark := newMarker(t.source, msgs)
	source := partNumbers(t.source, mark)
	h := &hider{v: t.v, mark: mark, gaps: literals(source)}
	hidden := make([]Message, len(msgs))
	for i, m := range msgs {
		hidden[i] = Message{Role: h.hide(m.Role), Content: h.hide(m.Content)}
	}
	text, err := renderJinja(t.name, source, chat{
		msgs: hidden,
		gen:  addGenerationPrompt,
		bos:  t.v.Text(t.v.bos),
		eos:  t.v.Text(t.v.eos),
	})
	if err != nil {
		return nil, err
	}
	var segs []Segment
	for _, part := range strings.Split(text, h.mark) {
		if part != "" {
			segs = append(segs, Segment{Text: part, Special: true})
		}
	}
	return segs, nil
}
