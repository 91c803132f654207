package vocab

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

//go:embed pretokenizers.json
var preJSON []byte

// preTable is the published set of pre-tokenizers, as llama.cpp has it.
type preTable struct {
	Splitters []string           // regular expressions
	Types     map[string]preType // splitting rules
	Names     map[string]preName // values of tokenizer.ggml.pre
}

// preType is a list of splitters, applied in turn.
type preType struct {
	Splitters []int
	Plain     bool // words are not byte-mapped
	Custom    bool // the expressions are not the whole rule
}

// preName is what a value of tokenizer.ggml.pre selects and sets.
type preName struct {
	Type         string
	AddBOS       bool  `json:"add_bos"`
	IgnoreMerges bool  `json:"ignore_merges"`
	EscapeSpaces bool  `json:"escape_whitespaces"`
	CleanSpaces  *bool `json:"clean_spaces"`
}

// preRule is a pre-tokenizer that has been looked up.
type preRule struct {
	name  preName
	typ   preType
	split *splitter
}

// loadPreTable parses the table once; it is part of the program, so an error
// in it is a programmer's.
var loadPreTable = sync.OnceValue(func() *preTable {
	t := new(preTable)
	if err := json.Unmarshal(preJSON, t); err != nil {
		panic(fmt.Sprintf("vocab: pretokenizers.json: %v", err))
	}
	return t
})

// PreTokenizers lists the names that Options.Pre and tokenizer.ggml.pre may
// have, sorted.
func PreTokenizers() []string {
	t := loadPreTable()
	var names []string
	for name, n := range t.Names {
		if !t.Types[n.Type].Custom {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// lookupPre finds a pre-tokenizer by name.
func lookupPre(name string) (preRule, error) {
	t := loadPreTable()
	n, ok := t.Names[name]
	if !ok {
		return preRule{}, &UnsupportedError{What: "pre-tokenizer", Name: name, Hint: "no rule is known for it; choose a known one if you know that it splits alike"}
	}
	typ := t.Types[n.Type]
	if typ.Custom {
		return preRule{}, &UnsupportedError{What: "pre-tokenizer", Name: name, Hint: "it needs a splitter of its own that is not implemented"}
	}
	exprs := make([]string, len(typ.Splitters))
	for i, k := range typ.Splitters {
		exprs[i] = t.Splitters[k]
	}
	split, err := newSplitter(exprs)
	if err != nil {
		return preRule{}, fmt.Errorf("vocab: pre-tokenizer %q: %w", name, err)
	}
	return preRule{n, typ, split}, nil
}

// choosePre decides on the pre-tokenizer: the option's, the file's, or a guess
// for a file that names none. The vocabulary of Llama 3 (which the official
// BitNet b1.58 2B-4T file carries without the key) is told by its size and its
// first control token; anything else gets "default".
func (v *Vocab) choosePre(r *reader, opt Options) (preRule, error) {
	v.pre = r.str(keyPre, "")
	switch {
	case opt.Pre != "":
		if v.pre != opt.Pre {
			v.warn("pre-tokenizer %q used instead of the file's %q, as asked", opt.Pre, v.pre)
		}
		v.pre = opt.Pre
	case v.pre != "":
	case v.Size() == 128256 && v.texts[128000] == "<|begin_of_text|>":
		v.pre = "llama-bpe"
		v.warn(`no %s: "llama-bpe" taken, for the vocabulary is that of Llama 3 ("default" would be the choice of bitnet.cpp)`, keyPre)
	default:
		v.pre = "default"
		v.warn(`no %s: "default" taken; numbers and punctuation may be split otherwise than in training`, keyPre)
	}
	if v.pre == "falcon_e" {
		v.warn(`pre-tokenizer "falcon_e" follows one of several contradicting sources`)
	}
	return lookupPre(v.pre)
}
