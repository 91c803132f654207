package check

import (
	"cmp"
	"slices"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// Contents is what is in a file.
type Contents struct {
	Format     string      `json:"format"` // "GGUF v3"
	Bytes      uint64      `json:"bytes"`
	Keys       int         `json:"keys"`
	Tensors    int         `json:"tensors"`
	Arch       string      `json:"arch,omitempty"`
	Name       string      `json:"name,omitempty"`
	Parameters uint64      `json:"parameters"`
	Types      []TypeShare `json:"types"`     // the largest first
	Ternary    float64     `json:"ternary"`   // share of the parameters that are ternary
	Bits       float64     `json:"bits"`      // of tensor data a parameter
	Tokenizer  string      `json:"tokenizer"` // "gpt2 / llama-bpe, 128256 tokens"; "none"
	Blocks     int         `json:"blocks"`    // as tensor names have them
	Template   bool        `json:"template"`  // the file has a chat template
	FileType   string      `json:"file_type"` // what general.file_type says, "" where it does not
	AnyTernary bool        `json:"-"`
}

// TypeShare is how much of a file a type makes up.
type TypeShare struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
	Bytes   uint64 `json:"bytes"`
}

func contents(f *gguf.File) *Contents {
	md := f.Metadata()
	c := &Contents{Format: formatName(f.Version()), Bytes: f.Size(), Keys: len(md.Keys()), Types: []TypeShare{}}
	c.Arch, _ = md.Str("general.architecture")
	c.Name, _ = md.Str("general.name")
	_, noTemplate := md.Str("tokenizer.chat_template")
	c.Template = noTemplate == nil
	at := map[string]int{}
	var bytes, ternary uint64
	for _, t := range f.Tensors() {
		c.Tensors++
		n := uint64(max(t.Elements(), 0))
		c.Parameters += n
		bytes += uint64(len(t.Data))
		name := t.Type.String()
		i, ok := at[name]
		if !ok {
			i = len(c.Types)
			at[name] = i
			c.Types = append(c.Types, TypeShare{Type: name})
		}
		c.Types[i].Tensors++
		c.Types[i].Bytes += uint64(len(t.Data))
		if isTernary(t.Type) {
			ternary += n
		}
		if b, ok := blockOf(t.Name); ok {
			c.Blocks = max(c.Blocks, b+1)
		}
	}
	slices.SortStableFunc(c.Types, func(a, b TypeShare) int { return cmp.Compare(b.Bytes, a.Bytes) })
	if c.Parameters > 0 {
		c.Ternary = float64(ternary) / float64(c.Parameters)
		c.Bits = 8 * float64(bytes) / float64(c.Parameters)
	}
	c.AnyTernary = ternary > 0
	c.Tokenizer = tokenizerName(md)
	if n, err := md.Uint("general.file_type"); err == nil {
		c.FileType = fileTypeName(n, c.AnyTernary)
	}
	return c
}

func formatName(version uint32) string {
	return "GGUF v" + string(rune('0'+min(version, 9)))
}

// ternaryNames are the types whose weights are −1, 0 and +1, whether or not
// this program computes with them.
var ternaryNames = []string{"TQ1_0", "TQ2_0", "I2_S", "I2_S_B", "I2_S_C", "TL1", "TL2", "IQ1_BN", "IQ2_BN", "IQ2_BN_R4", "Q2_0", "Q2_0_128"}

func isTernary(t gguf.Type) bool {
	if c, err := quantkern.Lookup(t.String()); err == nil {
		return c.Ternary
	}
	return slices.Contains(ternaryNames, t.String())
}

func tokenizerName(md *gguf.Metadata) string {
	model, err := md.Str("tokenizer.ggml.model")
	if err != nil {
		return "none"
	}
	text := model
	if pre, err := md.Str("tokenizer.ggml.pre"); err == nil {
		text += " / " + pre
	}
	if v, ok := md.Get("tokenizer.ggml.tokens"); ok {
		text += ", " + plural(v.Len(), "token")
	}
	return text
}
