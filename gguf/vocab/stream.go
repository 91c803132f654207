package vocab

import (
	"sync/atomic"
	"unicode/utf8"
)

// Stream turns ids into text as they come, holding back incomplete UTF-8 (at
// most 3 bytes). It belongs to one goroutine.
type Stream struct {
	v       *Vocab
	special bool
	held    []byte
	texts   []atomic.Pointer[string] // of tokens that are whole characters, for all streams alike
}

// NewStream starts a stream; special prints control tokens too.
func (v *Vocab) NewStream(special bool) *Stream {
	s := &Stream{v: v, special: special}
	if !special {
		// Most tokens come more than once, and then cost nothing.
		v.said.once.Do(func() { v.said.texts = make([]atomic.Pointer[string], v.Size()) })
		s.texts = v.said.texts
	}
	return s
}

// Push adds a token and returns the text that is now complete, "" while a
// character is still in pieces. Bytes that can no longer become UTF-8 come out
// as U+FFFD each.
func (s *Stream) Push(id int32) string {
	known := len(s.held) == 0 && id >= 0 && int(id) < len(s.texts)
	if known {
		if text := s.texts[id].Load(); text != nil {
			return *text
		}
	}
	s.held = s.v.appendPiece(s.held, id, s.special)
	cut := len(s.held) - incomplete(s.held)
	out := validUTF8(string(s.held[:cut]))
	s.held = append(s.held[:0], s.held[cut:]...)
	if known && len(s.held) == 0 {
		s.texts[id].Store(&out)
	}
	return out
}

// Flush returns what was held back, U+FFFD for each byte of it, and makes the
// stream ready for another text.
func (s *Stream) Flush() string {
	out := validUTF8(string(s.held))
	s.held = s.held[:0]
	return out
}

// incomplete is the number of bytes at the end of b that may be the beginning
// of a character.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
