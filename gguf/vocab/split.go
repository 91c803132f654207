package vocab

import (
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// A cutter cuts a fragment into pieces, in order and without loss: the matches
// of an expression and what lies between them. The end of the fragment is the
// end of the text for its look-aheads.
type cutter func(text string, emit func(piece string))

// splitter applies cutters in turn, each to the pieces of the one before.
type splitter struct {
	cutters []cutter
}

// newSplitter takes the hand-written scanner for the expressions that it
// covers and the backtracking engine for the others.
func newSplitter(exprs []string) (*splitter, error) {
	s := new(splitter)
	for _, expr := range exprs {
		if c, ok := scanners[expr]; ok {
			s.cutters = append(s.cutters, c)
			continue
		}
		c, err := regexCutter(expr, regexTimeout)
		if err != nil {
			return nil, err
		}
		s.cutters = append(s.cutters, c)
	}
	return s, nil
}

// each calls emit with the words of text in order; joined they are text.
func (s *splitter) each(text string, emit func(word string)) { s.level(0, text, emit) }

func (s *splitter) level(n int, text string, emit func(string)) {
	if n == len(s.cutters) {
		emit(text)
		return
	}
	s.cutters[n](text, func(piece string) { s.level(n+1, piece, emit) })
}

// regexTimeout bounds one search of the backtracking engine. The table's
// expressions need microseconds; text made to blow one of them up costs at
// most this per fragment.
const regexTimeout = 2 * time.Second

// regexStack bounds the memory of one search, in machine words.
const regexStack = 1 << 22

// regexCutter runs expr in the backtracking engine. When a search exceeds
// timeout or regexStack, the rest of the fragment is one piece:
// nothing of the text is lost.
func regexCutter(expr string, timeout time.Duration) (cutter, error) {
	re, err := regexp2.Compile(expr, regexp2.OptionMaxBacktrackingStackSize(regexStack))
	if err != nil {
		return nil, err
	}
	re.MatchTimeout = timeout
	return func(text string, emit func(string)) {
		runes := []rune(text)
		at, pos := 0, 0 // the same place in runes and in bytes
		advance := func(to int) {
			lo := pos
			for ; at < to; at++ {
				pos += utf8.RuneLen(runes[at])
			}
			if lo < pos {
				emit(text[lo:pos])
			}
		}
		// An error ends the search early; what is left is emitted below.
		_ = re.FindRunesMatches(runes, -1, func(m regexp2.MatchView) bool {
			if lo, n, ok := m.GroupRange(0); ok && n > 0 {
				advance(lo)
				advance(lo + n)
			}
			return true
		})
		advance(len(runes))
	}, nil
}
