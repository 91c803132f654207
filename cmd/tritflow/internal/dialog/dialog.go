// Package dialog keeps the history of a chat as token ids. Text that the model
// generated is never tokenized again: the ids it drew and the ids that its text
// would be cut into need not be the same, and the model has only seen the former.
//
//	messages ─▶ template ─▶ text so far │ new text
//	                 ids that were run  │ encode ─▶ prompt of the next turn
package dialog

import (
	"strings"

	"tritflow/gguf/vocab"
)

// Dialog is a chat under way. It is not safe for concurrent use.
type Dialog struct {
	vocab    *vocab.Vocab
	template *vocab.Template
	messages []vocab.Message

	ids    []int32 // the prompt of the last turn and what was generated after it
	prompt string  // the text of that prompt
	answer string  // the text of that answer
}

// New starts a chat; system is the system message, "" for none.
func New(v *vocab.Vocab, system string) (*Dialog, error) {
	t, err := v.Template()
	if err != nil {
		return nil, err
	}
	d := &Dialog{vocab: v, template: t}
	if system != "" {
		d.messages = append(d.messages, vocab.Message{Role: "system", Content: system})
	}
	return d, nil
}

// Ask adds a user's message and returns the ids of the whole prompt, up to
// where the answer begins. The caller must not change them.
func (d *Dialog) Ask(text string) ([]int32, error) {
	d.messages = append(d.messages, vocab.Message{Role: "user", Content: text})
	segments, err := d.template.Render(d.messages, true)
	if err != nil {
		d.messages = d.messages[:len(d.messages)-1]
		return nil, err
	}
	prompt := flatten(segments)
	if fresh, ok := d.unseen(segments, prompt); ok {
		d.ids = append(d.ids, d.vocab.EncodeSegments(fresh, false)...)
	} else {
		d.ids = d.encode(segments)
	}
	d.prompt, d.answer = prompt, ""
	return d.ids[:len(d.ids):len(d.ids)], nil
}

// Alone gives the ids that a question would have if nothing but the system message
// had been said. The dialog stays as it is.
func (d *Dialog) Alone(text string) ([]int32, error) {
	fresh := &Dialog{vocab: d.vocab, template: d.template}
	if len(d.messages) > 0 && d.messages[0].Role == "system" {
		fresh.messages = d.messages[:1:1]
	}
	return fresh.Ask(text)
}

// Answer records what the model generated after the last Ask.
func (d *Dialog) Answer(text string, ids []int32) {
	d.messages = append(d.messages, vocab.Message{Role: "assistant", Content: text})
	d.ids = append(d.ids, ids...)
	d.answer = text
}

// Withdraw takes the last Ask back, for a turn that failed.
func (d *Dialog) Withdraw() {
	d.messages = d.messages[:len(d.messages)-1]
	d.ids, d.prompt, d.answer = nil, "", ""
}

// Forget drops the oldest question and its answer, to make room, and reports
// whether there was one. What is left is tokenized anew by the next Ask.
func (d *Dialog) Forget() bool {
	first := 0
	if len(d.messages) > 0 && d.messages[0].Role == "system" {
		first = 1
	}
	if len(d.messages) < first+2 {
		return false
	}
	d.messages = append(d.messages[:first:first], d.messages[first+2:]...)
	d.ids, d.prompt, d.answer = nil, "", ""
	return true
}

// unseen cuts off what the ids so far stand for. It fails when the template
// renders the history differently from how it was run.
func (d *Dialog) unseen(segments []vocab.Segment, text string) ([]vocab.Segment, bool) {
	if len(d.ids) == 0 || !strings.HasPrefix(text, d.prompt) {
		return nil, false
	}
	// Many templates trim the contents of messages.
	for _, answer := range []string{d.answer, strings.TrimRight(d.answer, " \t\r\n"), strings.TrimSpace(d.answer)} {
		if strings.HasPrefix(text[len(d.prompt):], answer) {
			return skip(segments, len(d.prompt)+len(answer)), true
		}
	}
	return nil, false
}

// encode is the beginning of a chat. Templates differ in whether they write the
// begin token themselves; there is to be one.
func (d *Dialog) encode(segments []vocab.Segment) []int32 {
	ids := d.vocab.EncodeSegments(segments, false)
	if bos, ok := d.vocab.BOS(); ok && d.vocab.AddBOS() && (len(ids) == 0 || ids[0] != bos) {
		ids = append([]int32{bos}, ids...)
	}
	return ids
}

func flatten(segments []vocab.Segment) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString(s.Text)
	}
	return b.String()
}

// skip drops the first n bytes of the segments' text.
func skip(segments []vocab.Segment, n int) []vocab.Segment {
	for i, s := range segments {
		if n < len(s.Text) {
			rest := append([]vocab.Segment{{Text: s.Text[n:], Special: s.Special}}, segments[i+1:]...)
			return rest
		}
		n -= len(s.Text)
	}
	return nil
}
