package check

import (
	"fmt"
	"math"

	"tritflow/gguf"
)

// fixVocabularySize makes the tokens as many as the embedding has rows.
func fixVocabularySize(f *gguf.File) *Fix {
	md := f.Metadata()
	arch, _ := md.Str("general.architecture")
	table, ok := f.Tensor("token_embd.weight")
	tokens, err := md.Strings(keyTokens)
	if !ok || err != nil || len(table.Dims) != 2 || table.Dims[1] > math.MaxInt32 {
		return advice(convertAgain)
	}
	rows := int(table.Dims[1])
	fix := &Fix{Name: "vocabulary-size", Lossless: true}
	switch {
	case len(tokens) == rows:
		fix.What = fmt.Sprintf("set %s.vocab_size to the %d rows that the embedding has", arch, rows)
		fix.apply = func(d *draft) error { d.set(arch+".vocab_size", uint32(rows)); return nil }
	case len(tokens) < rows:
		fix.What = fmt.Sprintf("add %d unused tokens for the rows of the embedding that have none", rows-len(tokens))
		fix.apply = func(d *draft) error { return resize(d, arch, rows) }
	default:
		fix.What = fmt.Sprintf("drop the last %d tokens, for which the embedding has no rows", len(tokens)-rows)
		fix.apply = func(d *draft) error { return resize(d, arch, rows) }
	}
	return fix
}

// resize pads or cuts the arrays of the vocabulary.
func resize(d *draft, arch string, n int) error {
	tokens, _ := d.get(keyTokens).([]string)
	for i := len(tokens); i < n; i++ {
		tokens = append(tokens, fmt.Sprintf("[PAD%d]", i))
	}
	d.set(keyTokens, tokens[:n])
	if types, ok := d.get(keyTypes).([]int32); ok {
		for len(types) < n {
			types = append(types, typeUnused)
		}
		d.set(keyTypes, types[:n])
	}
	if scores, ok := d.get(keyScores).([]float32); ok {
		for len(scores) < n {
			scores = append(scores, 0)
		}
		d.set(keyScores, scores[:n])
	}
	if d.get(arch+".vocab_size") != nil {
		d.set(arch+".vocab_size", uint32(n))
	}
	return nil
}
