package check

import (
	"fmt"
	"math"
	"slices"

	"tritflow/gguf"
)

// ends are the texts that begin and end tokens have, the commonest first.
var ends = map[string][]string{
	"bos": {"<|begin_of_text|>", "<s>", "<bos>", "<|startoftext|>", "<|im_start|>", "<|endoftext|>"},
	"eos": {"<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>"},
}

// specialIDs checks the ids of special tokens: inside the vocabulary, and for
// begin and end that they are tokens which no plain text makes.
func (r *Report) specialIDs(md *gguf.Metadata, tokens []string, types []int64) (known bool) {
	names := []string{"bos", "eos", "unknown", "padding", "separator", "seperator", "cls", "mask", "eot", "eom", "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"}
	for _, name := range names {
		key := "tokenizer.ggml." + name + "_token_id"
		id, err := md.Uint(key)
		if err != nil || id == math.MaxUint32 {
			continue
		}
		switch {
		case id >= uint64(len(tokens)):
			known = true
			p := r.reason("vocabulary", "special-id-outside", "", "%s is %d and the vocabulary has %d tokens", key, id, len(tokens))
			p.Fix = fixID(p.Cause, key, ends[name], tokens)
		case ends[name] != nil && len(types) == len(tokens) && types[id] == int64(typeNormal) && !special(tokens[id]):
			fix := fixID("special-id-ordinary", key, ends[name], tokens)
			if !fix.Lossless {
				continue // no token of this vocabulary looks like one; test vocabularies and old models
			}
			p := r.wrong("vocabulary", "special-id-ordinary", "", "%s is %d, the ordinary token %.40q", key, id, tokens[id])
			p.Sure = 0.95
			p.Fix = fix
		}
	}
	return known
}

// fixID gives a key the token that looks like it, or takes the key away.
func fixID(cause, key string, texts, tokens []string) *Fix {
	for _, text := range texts {
		if id := slices.Index(tokens, text); id >= 0 {
			return &Fix{Name: cause, What: fmt.Sprintf("set it to %d (%s)", id, text), Lossless: true,
				apply: func(d *draft) error { d.set(key, uint32(id)); return nil }}
		}
	}
	if texts == nil { // padding, fim and the like: nothing depends on them
		return &Fix{Name: cause, What: "take the key away", Lossless: true, apply: func(d *draft) error { d.drop(key); return nil }}
	}
	return &Fix{Name: cause, What: "take the key away, as no token looks like it", Asked: true, apply: func(d *draft) error { d.drop(key); return nil }}
}
