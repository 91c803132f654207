package vocab

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"tritflow/gguf"
)

// Options change what the file says.
type Options struct {
	// Pre is the pre-tokenizer to use instead of tokenizer.ggml.pre, one of
	// PreTokenizers ("" = the file's). "default" gives bitnet.cpp's ids where the
	// file names none, "falcon_e" the other reading of "falcon3". SPM has none.
	Pre string
}

const (
	keyModel  = "tokenizer.ggml.model"
	keyPre    = "tokenizer.ggml.pre"
	keyTokens = "tokenizer.ggml.tokens"
	keyScores = "tokenizer.ggml.scores"
	keyTypes  = "tokenizer.ggml.token_type"
	keyMerges = "tokenizer.ggml.merges"
)

// Load builds the tokenizer from metadata; a file without tensors is enough.
// Unknown models and pre-tokenizers are refused by name (*UnsupportedError),
// arrays and ids that do not fit together by key (*KeyError). Nothing of md is
// needed afterwards.
func Load(md *gguf.Metadata, opt Options) (*Vocab, error) {
	r := &reader{md: md}
	v := &Vocab{
		model:    r.str(keyModel, ""),
		arch:     r.str("general.architecture", ""),
		template: r.str("tokenizer.chat_template", ""),
	}
	if r.err != nil {
		return nil, r.err
	}
	switch v.model {
	case modelBPE, modelSPM:
	case "":
		return nil, &KeyError{Key: keyModel, Reason: "missing: the file has no tokenizer"}
	default:
		return nil, &UnsupportedError{What: "tokenizer model", Name: v.model, Hint: `only "gpt2" (byte-level BPE) and "llama" (SPM) are implemented; give token ids instead of text`}
	}
	if err := v.loadTokens(md); err != nil {
		return nil, err
	}
	v.ids = newTextIndex(v.texts)
	var rule preRule
	if v.model == modelBPE {
		var err error
		if rule, err = v.choosePre(r, opt); err != nil {
			return nil, err
		}
	} else if opt.Pre != "" {
		v.warn("pre-tokenizer %q is not used: the tokenizer model is %q", opt.Pre, v.model)
	}
	v.loadFlags(r, rule)
	v.loadSpecialIDs(r)
	if r.err != nil {
		return nil, r.err
	}
	if v.model == modelBPE {
		merges, err := md.Strings(keyMerges)
		if err != nil {
			return nil, &KeyError{Key: keyMerges, Reason: "cannot be read", Err: err}
		}
		if v.bpe, err = newBPE(rule, merges); err != nil {
			return nil, err
		}
	}
	v.findEOG(r)
	v.findBytes()
	v.findSpecials(r.str("general.name", ""))
	return v, r.err
}

// loadTokens reads texts, types and scores and checks that their lengths agree.
func (v *Vocab) loadTokens(md *gguf.Metadata) (err error) {
	if v.texts, err = md.Strings(keyTokens); err != nil {
		return &KeyError{Key: keyTokens, Reason: "cannot be read", Err: err}
	}
	n := len(v.texts)
	if n == 0 || n > math.MaxInt32 {
		return &KeyError{Key: keyTokens, Reason: fmt.Sprintf("%d tokens", n)}
	}
	v.types = make([]TokenType, n)
	types, err := md.Ints(keyTypes)
	switch {
	case errors.Is(err, gguf.ErrNoKey):
		for i := range v.types {
			v.types[i] = Normal
		}
		v.warn("no %s: all tokens taken as normal ones", keyTypes)
	case err != nil:
		return &KeyError{Key: keyTypes, Reason: "cannot be read", Err: err}
	case len(types) != n:
		return &KeyError{Key: keyTypes, Reason: fmt.Sprintf("%d elements for %d tokens", len(types), n)}
	}
	for i, t := range types {
		if t < int64(Undefined) || t > int64(Byte) {
			return &KeyError{Key: keyTypes, Reason: fmt.Sprintf("token %d has type %d, known are 0 to 6", i, t)}
		}
		v.types[i] = TokenType(t)
	}
	if v.model == modelSPM {
		if v.scores, err = md.Floats(keyScores); err != nil {
			return &KeyError{Key: keyScores, Reason: "cannot be read", Err: err}
		}
		if len(v.scores) != n {
			return &KeyError{Key: keyScores, Reason: fmt.Sprintf("%d elements for %d tokens", len(v.scores), n)}
		}
		if i := slices.IndexFunc(v.scores, func(s float32) bool { return s != s }); i >= 0 {
			return &KeyError{Key: keyScores, Reason: fmt.Sprintf("token %d has a score that is not a number", i)}
		}
	}
	return nil
}

// loadFlags sets the behaviour: the model's default, then the pre-tokenizer's,
// then the file's own keys.
func (v *Vocab) loadFlags(r *reader, rule preRule) {
	spm := v.model == modelSPM
	v.addBOS, v.addSpacePrefix, v.cleanSpaces = spm, spm, !spm
	v.escapeSpaces, v.byteLevel = spm, false
	if !spm {
		v.addBOS = rule.name.AddBOS
		v.escapeSpaces = rule.name.EscapeSpaces
		v.byteLevel = !rule.typ.Plain
		if rule.name.CleanSpaces != nil {
			v.cleanSpaces = *rule.name.CleanSpaces
		}
	}
	v.addBOS = r.flag("tokenizer.ggml.add_bos_token", v.addBOS)
	v.addEOS = r.flag("tokenizer.ggml.add_eos_token", false)
	v.addSpacePrefix = r.flag("tokenizer.ggml.add_space_prefix", v.addSpacePrefix)
}

// loadSpecialIDs reads the ids of special tokens. BPE without a key means 11
// and SPM 1, 2 and 0, as llama.cpp has it.
func (v *Vocab) loadSpecialIDs(r *reader) {
	bos, eos, unk := int32(11), int32(11), none
	if v.model == modelSPM {
		bos, eos, unk = 1, 2, 0
	}
	assumed := func(name string, def int32) int32 {
		key := "tokenizer.ggml." + name + "_token_id"
		if _, ok := r.md.Get(key); !ok && def != none {
			if int(def) >= v.Size() {
				return none
			}
			v.warn("no %s: %d (%q) assumed, as llama.cpp does", key, def, v.texts[def])
		}
		return r.id(key, def, v.Size())
	}
	v.bos, v.eos, v.unk = assumed("bos", bos), assumed("eos", eos), assumed("unknown", unk)
	v.eot = r.id("tokenizer.ggml.eot_token_id", none, v.Size())
	v.eom = r.id("tokenizer.ggml.eom_token_id", none, v.Size())
	// Not needed here, but an id beyond the vocabulary says that the file is
	// broken. Both spellings of separator are met.
	for _, name := range []string{"padding", "separator", "seperator", "cls", "mask", "fim_pre", "fim_suf", "fim_mid"} {
		r.id("tokenizer.ggml."+name+"_token_id", none, v.Size())
	}
}

func (v *Vocab) warn(format string, args ...any) {
	v.warnings = append(v.warnings, fmt.Sprintf(format, args...))
}

// reader reads optional keys and keeps the first error.
type reader struct {
	md  *gguf.Metadata
	err error
}

func optional[T any](r *reader, get func(string) (T, error), key string, def T) T {
	x, err := get(key)
	if err == nil {
		return x
	}
	if !errors.Is(err, gguf.ErrNoKey) && r.err == nil {
		r.err = &KeyError{Key: key, Reason: "cannot be read", Err: err}
	}
	return def
}

func (r *reader) str(key, def string) string     { return optional(r, r.md.Str, key, def) }
func (r *reader) flag(key string, def bool) bool { return optional(r, r.md.Bool, key, def) }

// id reads a token id below n; 2³²−1 stands for "none" in files in the wild.
func (r *reader) id(key string, def int32, n int) int32 {
	if _, ok := r.md.Get(key); !ok {
		return def
	}
	id := optional(r, r.md.Uint, key, 0)
	if id == math.MaxUint32 {
		return none
	}
	if id >= uint64(n) {
		if r.err == nil {
			r.err = &KeyError{Key: key, Reason: fmt.Sprintf("token %d of a vocabulary of %d", id, n)}
		}
		return none
	}
	return int32(id)
}
