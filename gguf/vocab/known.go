package vocab

import "strings"

// formats are published chat formats, for files whose template is missing,
// wrong or beyond the engine. signs are what a template of the format
// contains, all of them.
var formats = []struct {
	name   string
	signs  []string
	source string
}{
	{
		// BitNet b1.58 2B-4T: ChatFormat of its reference implementation.
		name:  "bitnet",
		signs: []string{placeholder},
		source: `{{ bos_token }}{% for m in messages %}{{ m.role|capitalize + ': ' + m.content|trim + '<|eot_id|>' }}{% endfor %}` +
			`{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}`,
	},
	{
		name:  "llama-3",
		signs: []string{"<|start_header_id|>"},
		source: `{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content|trim + '<|eot_id|>' }}{% endfor %}` +
			`{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}`,
	},
	{
		name:  "falcon3",
		signs: []string{"<|assistant|>", "<|user|>"},
		source: `{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '\n' }}{% endfor %}` +
			`{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}`,
	},
	{
		name:  "chatml",
		signs: []string{"<|im_start|>"},
		source: `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}` +
			`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`,
	},
}

// recognise finds the format of a template by what it contains, "" if none.
func recognise(source string) string {
next:
	for _, f := range formats {
		for _, s := range f.signs {
			if !strings.Contains(source, s) {
				continue next
			}
		}
		return f.name
	}
	return ""
}
