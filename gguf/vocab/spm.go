package vocab

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

// spaceMark is how SPM vocabularies write a space.
const spaceMark = "▁" // U+2581

var mergers = sync.Pool{New: func() any { return new(merger) }}

// encodeSPM tokenizes one fragment: code points are merged by the score of the
// token that results, highest first; what is no token becomes byte tokens.
// text holds valid UTF-8.
func (v *Vocab) encodeSPM(dst []int32, text string) []int32 {
	text = strings.ReplaceAll(text, " ", spaceMark)
	m := mergers.Get().(*merger)
	defer mergers.Put(m)
	m.reset()
	for lo := 0; lo < len(text); {
		_, n := utf8.DecodeRuneInString(text[lo:])
		m.push(lo, lo+n, 0)
		lo += n
	}
	m.run(func(l, r *symbol) (float64, int32, bool) {
		id, ok := v.ID(text[l.lo:r.hi])
		if !ok {
			return 0, 0, false
		}
		return -float64(v.scores[id]), id, true
	})
	for i := range m.syms {
		s := &m.syms[i]
		if s.lo == s.hi {
			continue
		}
		if id, ok := v.ID(text[s.lo:s.hi]); ok {
			dst = append(dst, id)
			continue
		}
		dst = v.appendBytes(dst, text[s.lo:s.hi])
	}
	return dst
}

// appendBytes writes text as byte tokens. A byte without one becomes the
// unknown token, or nothing where there is none.
func (v *Vocab) appendBytes(dst []int32, text string) []int32 {
	for i := range len(text) {
		id := v.byteIDs[text[i]]
		if id == none {
			id = v.unk
		}
		if id != none {
			dst = append(dst, id)
		}
	}
	return dst
}

// findBytes looks up the byte tokens: "<0x0A>", else the raw byte.
func (v *Vocab) findBytes() {
	for b := range v.byteIDs {
		id, ok := v.ID(fmt.Sprintf("<0x%02X>", b))
		if !ok {
			id, ok = v.ID(string([]byte{byte(b)}))
		}
		if !ok {
			id = none
		}
		v.byteIDs[b] = id
	}
}
