package check

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"tritflow/gguf"
	"tritflow/gguf/vocab"
)

// Keys of the vocabulary.
const (
	keyModel  = "tokenizer.ggml.model"
	keyTokens = "tokenizer.ggml.tokens"
	keyTypes  = "tokenizer.ggml.token_type"
	keyScores = "tokenizer.ggml.scores"
	keyMerges = "tokenizer.ggml.merges"
	keyChat   = "tokenizer.chat_template"
)

// Token types as files have them.
const (
	typeNormal, typeUnknown, typeControl, typeUser, typeUnused, typeByte int32 = 1, 2, 3, 4, 5, 6
)

// vocabulary looks for what is wrong with the tokenizer's keys, then loads it.
func (r *Report) vocabulary(f *gguf.File, pre string) {
	known := r.vocabularyKeys(f.Metadata())
	v, err := vocab.Load(f.Metadata(), vocab.Options{Pre: pre})
	if err != nil {
		if !known {
			p := r.reason("vocabulary", "vocabulary", "", "%v", err)
			var unsupported *vocab.UnsupportedError
			if errors.As(err, &unsupported) {
				p.Cause = "unsupported-tokenizer"
				if unsupported.What == "pre-tokenizer" {
					p.Cause = "unknown-pre-tokenizer"
					r.namePre(f, p)
				}
			}
		}
		return
	}
	for _, w := range v.Warnings() {
		cause := "vocabulary"
		if strings.HasPrefix(w, "no tokenizer.ggml.pre") {
			cause = "no-pre"
		}
		r.warn("vocabulary", cause, "", "%s", w)
	}
	r.pretokenizer(f, pre)
	r.template(f, v)
}

// namePre finds a known pre-tokenizer for a file that names an unknown one.
func (r *Report) namePre(f *gguf.File, p *Problem) {
	best := probed{lost: math.MaxInt}
	for _, pre := range usualPre {
		if got, err := probe(f.Metadata(), pre); err == nil && got.sampled >= leastTokens && got.lost < best.lost {
			best = got
		}
	}
	if best.pre != "" && best.share() < mostLost {
		p.Fix = &Fix{Name: p.Cause, What: fmt.Sprintf("set tokenizer.ggml.pre to %s, which cuts through %d of %d tokens", best.pre, best.lost, best.sampled),
			Asked: true, apply: func(d *draft) error { d.set("tokenizer.ggml.pre", best.pre); return nil }}
	}
}

// vocabularyKeys compares arrays and ids with each other. known: one of them
// keeps the vocabulary from being loaded, and has been told.
func (r *Report) vocabularyKeys(md *gguf.Metadata) (known bool) {
	tokens, err := md.Strings(keyTokens)
	if err != nil || len(tokens) == 0 {
		return false
	}
	model, _ := md.Str(keyModel)
	if model != "gpt2" && model != "llama" {
		return false
	}
	types, terr := md.Ints(keyTypes)
	if terr == nil && len(types) != len(tokens) {
		known = true
		p := r.reason("vocabulary", "token-types-length", "", "%s has %d elements for %d tokens", keyTypes, len(types), len(tokens))
		p.Fix = &Fix{Name: p.Cause, What: "cut it, or complete it from the texts of the tokens", Lossless: true, apply: func(d *draft) error {
			all := make([]int32, len(tokens))
			for i := range all {
				if all[i] = guessType(tokens[i]); i < len(types) {
					all[i] = int32(types[i])
				}
			}
			d.set(keyTypes, all)
			return nil
		}}
	}
	if scores, err := md.Floats(keyScores); err == nil && model == "llama" && len(scores) != len(tokens) {
		known = true
		r.reason("vocabulary", "scores-length", "", "%s has %d elements for %d tokens", keyScores, len(scores), len(tokens)).Fix = advice(convertAgain)
	}
	if model == "gpt2" {
		known = r.merges(md, tokens) || known
	}
	return r.specialIDs(md, tokens, types) || known
}

// guessType tells control tokens by their looks.
func guessType(text string) int32 {
	if special(text) {
		return typeControl
	}
	return typeNormal
}

// special knows the texts that control tokens have.
func special(text string) bool {
	return len(text) > 2 && (strings.HasPrefix(text, "<|") && strings.HasSuffix(text, "|>") ||
		text == "<s>" || text == "</s>" || text == "<unk>" || text == "<pad>" || text == "<bos>" || text == "<eos>" || strings.HasPrefix(text, "[PAD"))
}

// merges checks the list of merges and rebuilds it where the tokens allow it.
func (r *Report) merges(md *gguf.Metadata, tokens []string) (known bool) {
	lines, err := md.Strings(keyMerges)
	if errors.Is(err, gguf.ErrNoKey) {
		p := r.reason("vocabulary", "merges-missing", "", "%s is missing: text cannot be joined to tokens", keyMerges)
		p.Fix = advice(convertAgain + " with its tokenizer.json")
		if all, ok := deriveMerges(tokens, md); ok {
			p.Fix = &Fix{Name: p.Cause, What: fmt.Sprintf("derive %d merges from the order of the tokens; where the original had several ways to a token, one is chosen", len(all)),
				Asked: true, apply: func(d *draft) error { d.set(keyMerges, all); return nil }}
		}
		return true
	}
	if err != nil {
		return false
	}
	bad := -1
	for i, line := range lines {
		if !validMerge(line) {
			bad = i
			break
		}
	}
	if bad < 0 {
		return false
	}
	p := r.reason("vocabulary", "merges-unparsable", "", "line %d of %s (%.40q) is not two texts with a space between", bad, keyMerges, lines[bad])
	p.Fix = advice(convertAgain)
	if all, ok := mendMerges(lines, tokens); ok {
		p.Fix = &Fix{Name: p.Cause, What: "cut the lines where both halves are tokens and only one cut does it", Lossless: true,
			apply: func(d *draft) error { d.set(keyMerges, all); return nil }}
	}
	return true
}

func validMerge(line string) bool {
	if line == "" {
		return false
	}
	at := strings.IndexByte(line[1:], ' ') + 1
	return at > 0 && at < len(line)-1
}

// mendMerges splits lines that lost their space; false where one has no or
// more than one way.
func mendMerges(lines, tokens []string) ([]string, bool) {
	have := tokenSet(tokens)
	made := map[string]bool{}
	for _, l := range lines {
		if validMerge(l) {
			made[l] = true
		}
	}
	out := slices.Clone(lines)
	for i, l := range lines {
		if validMerge(l) {
			continue
		}
		whole := strings.ReplaceAll(l, " ", "")
		found := ""
		for at := range whole {
			if line := whole[:at] + " " + whole[at:]; at > 0 && have[whole[:at]] && have[whole[at:]] && !made[line] {
				if found != "" {
					return nil, false
				}
				found = line
			}
		}
		if found == "" {
			return nil, false
		}
		out[i] = found
	}
	return out, true
}

// deriveMerges finds for every token the last two parts that lower ids make
// it of, in a vocabulary whose ids are ranks.
func deriveMerges(tokens []string, md *gguf.Metadata) ([]string, bool) {
	const most = 200_000
	if len(tokens) > most {
		return nil, false
	}
	rank := map[string]int{}
	for i, t := range tokens {
		if _, twice := rank[t]; !twice {
			rank[t] = i
		}
	}
	types, _ := md.Ints(keyTypes)
	var out []string
	for i, t := range tokens {
		if len([]rune(t)) < 2 || i < len(types) && types[i] != int64(typeNormal) || special(t) {
			continue
		}
		parts := lowerParts(t, i, rank)
		if len(parts) != 2 {
			return nil, false
		}
		out = append(out, parts[0]+" "+parts[1])
	}
	return out, len(out) > 0
}

// lowerParts merges the characters of a token by ids below its own.
func lowerParts(t string, id int, rank map[string]int) []string {
	var parts []string
	for _, r := range t {
		parts = append(parts, string(r))
	}
	for len(parts) > 2 {
		best, at := id, -1
		for k := 0; k+1 < len(parts); k++ {
			if n, ok := rank[parts[k]+parts[k+1]]; ok && n < best {
				best, at = n, k
			}
		}
		if at < 0 {
			return parts
		}
		parts = slices.Replace(parts, at, at+2, parts[at]+parts[at+1])
	}
	return parts
}

func tokenSet(tokens []string) map[string]bool {
	set := make(map[string]bool, len(tokens))
	for _, t := range tokens {
		set[t] = true
	}
	return set
}
