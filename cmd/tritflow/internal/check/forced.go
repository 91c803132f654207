package check

import (
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
)

// Forced lists the fixes that --fix makes although the file does not show that
// they are needed, because its owner knows more: what trials could not tell of a
// model that was trained on another language, for example.
func Forced() []string {
	names := []string{"i2s-layout", "pre=NAME", "template=NAME"}
	for _, h := range hypotheses {
		names = append(names, h.cause)
	}
	return names
}

// forced makes a fix of that kind for a file that could be read; nil where
// there is none of this name.
func forced(f *gguf.File, name string) *Fix {
	if f == nil {
		return nil
	}
	if pre, ok := strings.CutPrefix(name, "pre="); ok && slices.Contains(vocab.PreTokenizers(), pre) {
		return &Fix{Name: name, What: "set tokenizer.ggml.pre to " + pre, Asked: true, apply: func(d *draft) error {
			d.set("tokenizer.ggml.pre", pre)
			return nil
		}}
	}
	if format, ok := strings.CutPrefix(name, "template="); ok {
		source := map[string]string{"bitnet": bitnetFormat}[format]
		for _, c := range chatFormats {
			if c.name == format {
				source = c.source
			}
		}
		if source == "" {
			return nil
		}
		return &Fix{Name: name, What: "write the format " + format + " into the file", Asked: true, apply: func(d *draft) error {
			d.set(keyChat, source)
			return nil
		}}
	}
	if name == "i2s-layout" {
		for _, t := range f.Tensors() {
			if layout := t.Type.String(); layout == "I2_S_B" || layout == "I2_S_C" {
				return fixLayout(layout) // as --i2s-layout said
			}
		}
		return nil
	}
	m, err := graph.Bind(f)
	if err != nil {
		return nil
	}
	for _, h := range hypotheses {
		if h.cause == name {
			fix := h.fix(m)
			fix.Asked = true
			return fix
		}
	}
	return nil
}
