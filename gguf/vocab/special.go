package vocab

import (
	"cmp"
	"slices"
	"strings"
)

// special is a token that is looked for in text as a whole.
type special struct {
	text    string
	id      int32
	control bool // control or unknown: only where the caller parses special tokens
	lstrip  bool // swallows white space before it
	rstrip  bool // swallows white space after it
	hide    bool // must not come out of a chat message
}

// eogTexts are the texts of tokens that end generation whatever their type
// (llama.cpp keeps the same list).
var eogTexts = []string{"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>"}

// findEOG collects the tokens that end generation. Those known by text become
// control tokens, so that they print as nothing.
func (v *Vocab) findEOG(r *reader) {
	for _, text := range eogTexts {
		id, ok := v.ID(text)
		if !ok {
			continue
		}
		v.eog = append(v.eog, id)
		if v.types[id] != Control {
			v.warn("token %d %q is not marked as a control token: taken as one", id, text)
			v.types[id] = Control
		}
	}
	ids := []int32{v.eos, v.eot, v.eom}
	for _, name := range []string{"pad", "rep", "sep"} {
		ids = append(ids, r.id("tokenizer.ggml.fim_"+name+"_token_id", none, v.Size()))
	}
	for _, id := range ids {
		if id != none {
			v.eog = append(v.eog, id)
		}
	}
	slices.Sort(v.eog)
	v.eog = slices.Compact(v.eog)
}

// findSpecials sorts the special tokens, longest text first, and gives the few
// models that need it their white space attributes, by name as llama.cpp does.
func (v *Vocab) findSpecials(name string) {
	name = strings.ToLower(name)
	phi3 := strings.Contains(name, "phi-3") || strings.Contains(name, "phi3")
	jina := slices.Contains([]string{"jina-v2-de", "jina-v2-es", "jina-v2-code"}, v.pre)
	for i, t := range v.types {
		if t != Control && t != UserDefined && t != Unknown || v.texts[i] == "" {
			continue
		}
		s := special{text: v.texts[i], id: int32(i), control: t != UserDefined}
		s.hide = s.control || structural(s.text)
		switch {
		case phi3 && t == Control:
			s.rstrip = !slices.Contains([]string{"<unk>", "<s>", "<|endoftext|>"}, s.text)
		case jina && s.text == "<mask>":
			s.lstrip = true
		}
		v.specials = append(v.specials, s)
		v.starts[s.text[0]] = true
	}
	slices.SortStableFunc(v.specials, func(a, b special) int { return cmp.Compare(len(b.text), len(a.text)) })
}

// structural tells whether a user-defined token may be part of a chat's format
// ("<|assistant|>", "[INST]") and is therefore kept out of messages like a
// control token. Runs of white space are not, nor are tags ("<think>"), which
// templates look for in messages.
func structural(text string) bool {
	tag := strings.HasPrefix(text, "<") && !strings.Contains(text, "|")
	return strings.TrimSpace(text) != "" && !tag
}

// fragment is a part of a prompt: a special token, or the bytes [lo, hi) of
// the text when id is none.
type fragment struct {
	lo, hi int
	id     int32
}

// partition cuts text at special tokens: for each of them, longest first, every
// part that is still text is searched from left to right. allow says whether s
// may stand at [lo, hi).
func (v *Vocab) partition(text string, allow func(s *special, lo, hi int) bool) []fragment {
	frags := []fragment{{0, len(text), none}}
	if !v.mayHoldSpecial(text) {
		return frags
	}
	for i := range v.specials {
		s := &v.specials[i]
		if !strings.Contains(text, s.text) {
			continue
		}
		var out []fragment
		for _, f := range frags {
			if f.id != none {
				out = append(out, f)
				continue
			}
			lo, from := f.lo, f.lo
			for {
				at := strings.Index(text[from:f.hi], s.text)
				if at < 0 {
					break
				}
				at += from
				end := at + len(s.text)
				if !allow(s, at, end) {
					from = at + 1
					continue
				}
				left := at
				if s.lstrip {
					left = lo + len(strings.TrimRight(text[lo:at], asciiSpace))
				}
				if lo < left {
					out = append(out, fragment{lo, left, none})
				}
				out = append(out, fragment{at, end, s.id})
				lo = end
				if s.rstrip {
					lo = f.hi - len(strings.TrimLeft(text[end:f.hi], asciiSpace))
				}
				from = lo
			}
			if lo < f.hi {
				out = append(out, fragment{lo, f.hi, none})
			}
		}
		frags = out
	}
	return frags
}

// asciiSpace is what C's isspace knows.
const asciiSpace = " \t\n\v\f\r"

func (v *Vocab) mayHoldSpecial(text string) bool {
	for i := range len(text) {
		if v.starts[text[i]] {
			return true
		}
	}
	return false
}
