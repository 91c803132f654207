package synth

import "fmt"

// Token types of tokenizer.ggml.token_type.
const (
	normalToken  int32 = 1
	controlToken int32 = 3
)

// vocabulary is a byte-level BPE vocabulary of any size from 512 up: the 256
// bytes, then tokens that merges make, then control tokens.
type vocabulary struct {
	tokens  []string
	types   []int32
	merges  []string
	special int // id of the first control token
}

// newVocabulary makes up size entries. Large vocabularies end like Llama 3's,
// with 256 control tokens (so that 128,256 entries give them their real ids);
// small ones have the first ten of these.
func newVocabulary(size int) *vocabulary {
	special := 256
	if size < 4096 {
		special = 10
	}
	v := &vocabulary{special: size - special}
	for b := range 256 {
		v.tokens = append(v.tokens, string(byteRune(byte(b))))
	}
	v.words(v.special)
	for i := range special {
		v.tokens = append(v.tokens, controlName(i))
	}
	v.types = make([]int32, size)
	for i := range v.types {
		v.types[i] = normalToken
		if i >= v.special {
			v.types[i] = controlToken
		}
	}
	return v
}

// words adds tokens up to count, each made by one merge of two earlier ones:
// pairs of letters, the same after a space, then two words joined, the shorter
// first, so that no token comes about in two ways.
func (v *vocabulary) words(count int) {
	const letters = "etaoinshrdlucmfwypvbgkjqxz" // by frequency in English
	space := string(byteRune(' '))
	var single, pairs []string
	add := func(left, right string) bool {
		if len(v.tokens) >= count {
			return false
		}
		v.tokens = append(v.tokens, left+right)
		v.merges = append(v.merges, left+" "+right)
		return true
	}
	for _, x := range letters {
		single = append(single, string(x))
		add(space, string(x))
	}
	for _, x := range single {
		for _, y := range single {
			if add(x, y) {
				pairs = append(pairs, x+y)
			}
		}
	}
	for _, x := range single {
		for _, y := range pairs {
			add(space+x, y)
		}
	}
	for _, x := range pairs {
		for _, y := range pairs {
			if !add(x, y) {
				return
			}
		}
	}
}

// byteRune is the printable character that stands for a byte in byte-level BPE
// (formats.md §7.2): printable Latin-1 for itself, the others from U+0100 on.
func byteRune(b byte) rune {
	printable := func(b byte) bool {
		return b >= 0x21 && b <= 0x7e || b >= 0xa1 && b <= 0xac || b >= 0xae
	}
	if printable(b) {
		return rune(b)
	}
	r := rune(0x100)
	for c := range b {
		if !printable(c) {
			r++
		}
	}
	return r
}

// controlName is the text of the i-th control token of Llama 3 (formats.md §7.4).
func controlName(i int) string {
	switch {
	case i == 0:
		return "<|begin_of_text|>"
	case i == 1:
		return "<|end_of_text|>"
	case i == 6:
		return "<|start_header_id|>"
	case i == 7:
		return "<|end_header_id|>"
	case i == 9:
		return "<|eot_id|>"
	case i < 6:
		return fmt.Sprintf("<|reserved_special_token_%d|>", i-2)
	case i == 8:
		return "<|reserved_special_token_4|>"
	}
	return fmt.Sprintf("<|reserved_special_token_%d|>", i-5)
}

// write sets the tokenizer's keys.
func (v *vocabulary) write(set func(key string, value any)) {
	end := uint32(v.special + 1)
	set("tokenizer.ggml.model", "gpt2")
	set("tokenizer.ggml.pre", "llama-bpe")
	set("tokenizer.ggml.tokens", v.tokens)
	set("tokenizer.ggml.scores", make([]float32, len(v.tokens)))
	set("tokenizer.ggml.token_type", v.types)
	set("tokenizer.ggml.merges", v.merges)
	set("tokenizer.ggml.bos_token_id", uint32(v.special))
	set("tokenizer.ggml.eos_token_id", end)
	set("tokenizer.ggml.padding_token_id", end)
	set("tokenizer.ggml.add_bos_token", true)
}
