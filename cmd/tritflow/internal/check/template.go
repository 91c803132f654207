package check

import (
	"regexp"
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
)

// chatFormats are formats that a repair can write, with the tokens by which a
// vocabulary shows that it was made for them.
var chatFormats = []struct {
	name, mark, source string
}{
	{"llama-3", "<|start_header_id|>", `{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}`},
	{"chatml", "<|im_start|>", `{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`},
}

// bitnetFormat is what BitNet b1.58 2B-4T was trained with (formats.md 7.8).
const bitnetFormat = `{{ bos_token }}{% for m in messages %}{{ m['role'] | capitalize + ': ' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}`

var bitnetArchs = []string{"bitnet-b1.58", "bitnet-25", "bitnet-1.58"}

var markLike = regexp.MustCompile(`<\|[A-Za-z0-9_]+\|>`)

// template looks whether chats can be put into words that this vocabulary has.
func (r *Report) template(f *gguf.File, v *vocab.Vocab) {
	source, _ := f.Metadata().Str(keyChat)
	arch, _ := f.Metadata().Str("general.architecture")
	name, format := formatFor(v, arch)
	t, err := v.Template()
	switch {
	case err != nil:
		r.fixTemplate(r.warn("vocabulary", "broken-template", "", "chat will not work: %v", err), name, format)
	case strings.Contains(source, placeholderTemplate):
		r.fixTemplate(r.warn("vocabulary", "placeholder-template", "", "chat template: %s", t.Note()), name, format)
	case source == "":
		p := r.warn("vocabulary", "no-template", "", "chat template: %s", t.Note())
		if slices.Contains(bitnetArchs, arch) && name == "bitnet" {
			r.fixTemplate(p, name, format)
		}
	case t.Note() != "":
		r.fixTemplate(r.warn("vocabulary", "broken-template", "", "chat template: %s", t.Note()), name, format)
	default:
		r.foreign(source, v, name, format)
	}
}

// foreign finds a template that writes marks which the vocabulary lacks,
// where the vocabulary has those of another format.
func (r *Report) foreign(source string, v *vocab.Vocab, name, format string) {
	marks := markLike.FindAllString(source, -1)
	slices.Sort(marks)
	marks = slices.Compact(marks)
	for _, m := range marks {
		if _, ok := v.ID(m); ok {
			return
		}
	}
	if len(marks) == 0 || name == "" {
		return
	}
	p := r.wrong("vocabulary", "foreign-template", "", "the chat template writes %s, which the vocabulary does not have; it has the tokens of the format %s: the template is of another model",
		strings.Join(marks[:min(3, len(marks))], ", "), name)
	p.Sure = 0.95
	r.fixTemplate(p, name, format)
}

// formatFor is the format that a vocabulary was made for, "" if none shows.
func formatFor(v *vocab.Vocab, arch string) (name, source string) {
	if _, eot := v.ID("<|eot_id|>"); eot && slices.Contains(bitnetArchs, arch) {
		return "bitnet", bitnetFormat
	}
	for _, f := range chatFormats {
		if _, ok := v.ID(f.mark); ok {
			return f.name, f.source
		}
	}
	return "", ""
}

func (r *Report) fixTemplate(p *Problem, name, format string) {
	if name == "" {
		p.Fix = advice("take the chat template of the original model's tokenizer_config.json")
		return
	}
	p.Fix = &Fix{Name: p.Cause, What: "write the format " + name + " into the file", Lossless: true,
		apply: func(d *draft) error { d.set(keyChat, format); return nil }}
}
