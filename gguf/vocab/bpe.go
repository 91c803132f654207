package vocab

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe is the merging part of a "gpt2" vocabulary. Symbols are numbers: token
// ids, and from Size up the texts in merges that are no tokens.
type bpe struct {
	split        *splitter
	ignoreMerges bool
	merges       *pairIndex
	start        [256]int32 // symbol of a byte (mapped words)
}

// newBPE turns merge lines ("left right", the index is the rank) into pairs of
// symbols. A pair that stands twice keeps its first rank.
func newBPE(v *Vocab, rule preRule, lines []string) (*bpe, error) {
	b := &bpe{split: rule.split, ignoreMerges: rule.name.IgnoreMerges, merges: newPairIndex(len(lines))}
	var whole []byte
	last := none // the merge before
	for rank, line := range lines {
		cut := -1
		if len(line) > 1 {
			cut = strings.IndexByte(line[1:], ' ') + 1
		}
		if cut <= 0 || cut == len(line)-1 {
			return nil, &KeyError{Key: keyMerges, Reason: fmt.Sprintf("line %d (%q) is not two texts with a space between", rank, line)}
		}
		key := pairKey(v.ids.intern(line[:cut]), v.ids.intern(line[cut+1:]))
		slot := b.merges.find(key)
		if slot.id != none {
			continue
		}
		whole = append(append(whole[:0], line[:cut]...), line[cut+1:]...)
		last = v.mergedID(whole, last)
		*slot = pairSlot{key, int32(rank), last}
	}
	for i := range b.start {
		b.start[i] = v.ids.get(string(byteLevel.toRune[i]))
	}
	return b, nil
}

// mergedID is the symbol of a merge's result. Trainers number tokens in the
// order of their merges, so the last result or the next token is tried before
// the table is searched.
func (v *Vocab) mergedID(whole []byte, last int32) int32 {
	for id := max(last, 0); !v.ids.twice && id <= last+1 && int(id) < v.Size(); id++ {
		if v.texts[id] == string(whole) {
			return id
		}
	}
	if id := v.ids.get(string(whole)); id != none {
		return id
	}
	return v.ids.intern(string(whole))
}

func (b *bpe) rank(l, r *symbol) (float64, int32, bool) {
	if l.id == none || r.id == none {
		return 0, 0, false
	}
	s := b.merges.find(pairKey(l.id, r.id))
	return float64(s.rank), s.id, s.id != none
}

// encodeBPE tokenizes one fragment of valid UTF-8.
func (v *Vocab) encodeBPE(dst []int32, text string) []int32 {
	if v.escapeSpaces {
		text = strings.ReplaceAll(text, " ", spaceMark)
	}
	m := mergers.Get().(*merger)
	defer mergers.Put(m)
	v.bpe.split.each(text, func(word string) { dst = v.encodeWord(dst, m, word) })
	return dst
}

// encodeWord merges one word of the pre-tokenizer.
func (v *Vocab) encodeWord(dst []int32, m *merger, word string) []int32 {
	b := v.bpe
	if b.ignoreMerges {
		var buf [64]byte
		text := append(buf[:0], word...)
		if v.byteLevel {
			text = byteLevel.appendMapped(buf[:0], word)
		}
		if id, ok := v.ID(string(text)); ok {
			return append(dst, id)
		}
	}
	m.reset()
	for lo, n := 0, 1; lo < len(word); lo += n {
		if v.byteLevel {
			m.push(lo, lo+1, b.start[word[lo]])
			continue
		}
		_, n = utf8.DecodeRuneInString(word[lo:])
		m.push(lo, lo+n, v.ids.get(word[lo:lo+n]))
	}
	m.run(b.rank)
	for i := range m.syms {
		s := &m.syms[i]
		switch {
		case s.lo == s.hi:
		case s.id != none && int(s.id) < v.Size():
			dst = append(dst, s.id)
		case v.byteLevel:
			dst = v.appendRaw(dst, string(byteLevel.appendMapped(nil, word[s.lo:s.hi])))
		default:
			dst = v.appendBytes(dst, word[s.lo:s.hi])
		}
	}
	return dst
}

// appendRaw looks each byte of a mapped text up by itself and drops those
// without a token, as llama.cpp does.
func (v *Vocab) appendRaw(dst []int32, mapped string) []int32 {
	for i := range len(mapped) {
		if id, ok := v.ID(mapped[i : i+1]); ok {
			dst = append(dst, id)
		}
	}
	return dst
}
