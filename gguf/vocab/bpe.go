package vocab

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

// bpe is the merging part of a "gpt2" vocabulary. Symbols are numbers: token
// ids, and from Size up the texts in merges that are no tokens.
type bpe struct {
	split        *splitter
	ignoreMerges bool
	lines        []string // the file's merges, until the tables are made

	once   sync.Once
	merges *pairIndex
	extra  map[string]int32 // symbols that are no tokens
	start  [256]int32       // symbol of a byte (mapped words)
}

// newBPE checks the merge lines ("left right", the index is the rank). Their
// tables take most of the time of loading and are made when the first text is
// encoded, so that looking into a file stays quick.
func newBPE(rule preRule, lines []string) (*bpe, error) {
	for rank, line := range lines {
		if cut := mergeCut(line); cut <= 0 || cut == len(line)-1 {
			return nil, &KeyError{Key: keyMerges, Reason: fmt.Sprintf("line %d (%q) is not two texts with a space between", rank, line)}
		}
	}
	return &bpe{split: rule.split, ignoreMerges: rule.name.IgnoreMerges, lines: lines}, nil
}

// mergeCut is where the first space after the first byte stands, 0 if nowhere.
func mergeCut(line string) int {
	if line == "" {
		return 0
	}
	return strings.IndexByte(line[1:], ' ') + 1
}

// tables makes the tables once. A pair that stands twice keeps its first rank.
func (b *bpe) tables(v *Vocab) *bpe {
	b.once.Do(func() {
		b.merges = newPairIndex(len(b.lines))
		b.extra = map[string]int32{}
		var whole []byte
		last := none // the result before
		for rank, line := range b.lines {
			cut := mergeCut(line)
			key := pairKey(b.intern(v, line[:cut]), b.intern(v, line[cut+1:]))
			slot := b.merges.find(key)
			if slot.id != none {
				continue
			}
			whole = append(append(whole[:0], line[:cut]...), line[cut+1:]...)
			last = b.result(v, whole, last)
			*slot = pairSlot{key, int32(rank), last}
		}
		for i := range b.start {
			b.start[i] = b.symbol(v, string(byteLevel.toRune[i]))
		}
		b.lines = nil
	})
	return b
}

// symbol is the number of a text, none if neither tokens nor merges know it.
func (b *bpe) symbol(v *Vocab, text string) int32 {
	if id, ok := v.ID(text); ok {
		return id
	}
	if id, ok := b.extra[text]; ok {
		return id
	}
	return none
}

// intern is symbol that gives an unknown text a number.
func (b *bpe) intern(v *Vocab, text string) int32 {
	id := b.symbol(v, text)
	if id == none {
		id = int32(v.Size() + len(b.extra))
		b.extra[text] = id
	}
	return id
}

// result is the symbol of a merge's result. Trainers number tokens in the
// order of their merges, so the last result or the next token is tried before
// the table is searched.
func (b *bpe) result(v *Vocab, whole []byte, last int32) int32 {
	for id := max(last, 0); !v.ids.twice && id <= last+1 && int(id) < v.Size(); id++ {
		if v.texts[id] == string(whole) {
			return id
		}
	}
	if id, ok := v.ID(string(whole)); ok {
		return id
	}
	return b.intern(v, string(whole))
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
	v.bpe.tables(v).split.each(text, func(word string) { dst = v.encodeWord(dst, m, word) })
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
		m.push(lo, lo+n, b.symbol(v, word[lo:lo+n]))
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
