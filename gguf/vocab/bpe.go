package vocab

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe is the merging part of a "gpt2" vocabulary.
type bpe struct {
	split        *splitter
	ignoreMerges bool
	merges       map[uint64]merge // by left<<32 | right
	extra        map[string]int32 // texts in merges that are no tokens: ids from Size up
	start        [256]int32       // symbol of a byte (mapped words)
}

type merge struct {
	rank, id int32
}

func pair(l, r int32) uint64 { return uint64(uint32(l))<<32 | uint64(uint32(r)) }

// newBPE turns merge lines ("left right", the index is the rank) into pairs of
// symbol ids. A pair that stands twice keeps its first rank.
func newBPE(v *Vocab, rule preRule, lines []string) (*bpe, error) {
	b := &bpe{
		split:        rule.split,
		ignoreMerges: rule.name.IgnoreMerges,
		merges:       make(map[uint64]merge, len(lines)),
		extra:        map[string]int32{},
	}
	var whole []byte
	for rank, line := range lines {
		cut := -1
		if len(line) > 1 {
			cut = strings.IndexByte(line[1:], ' ') + 1
		}
		if cut <= 0 || cut == len(line)-1 {
			return nil, &KeyError{Key: keyMerges, Reason: fmt.Sprintf("line %d (%q) is not two texts with a space between", rank, line)}
		}
		whole = append(append(whole[:0], line[:cut]...), line[cut+1:]...)
		id, ok := v.ids[string(whole)]
		if !ok {
			id = b.intern(v, string(whole))
		}
		p := pair(b.intern(v, line[:cut]), b.intern(v, line[cut+1:]))
		if _, dup := b.merges[p]; !dup {
			b.merges[p] = merge{int32(rank), id}
		}
	}
	for i := range b.start {
		b.start[i] = b.symbol(v, string(byteLevel.toRune[i]))
	}
	return b, nil
}

// intern gives a text a symbol id: the token's, or a new one beyond them.
func (b *bpe) intern(v *Vocab, text string) int32 {
	id := b.symbol(v, text)
	if id == none {
		id = int32(v.Size() + len(b.extra))
		b.extra[text] = id
	}
	return id
}

// symbol is a text's symbol id, none if neither tokens nor merges know it.
func (b *bpe) symbol(v *Vocab, text string) int32 {
	if id, ok := v.ids[text]; ok {
		return id
	}
	if id, ok := b.extra[text]; ok {
		return id
	}
	return none
}

func (b *bpe) rank(l, r *symbol) (float64, int32, bool) {
	if l.id == none || r.id == none {
		return 0, 0, false
	}
	m, ok := b.merges[pair(l.id, r.id)]
	return float64(m.rank), m.id, ok
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
		if id, ok := v.ids[string(text)]; ok {
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
		if id, ok := v.ids[mapped[i:i+1]]; ok {
			dst = append(dst, id)
		}
	}
	return dst
}
