package vocab

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/tokens"
)

// What the marker begins and ends with: different noncharacters, which white
// space trimming and letter case leave alone, so it cannot overlap itself.
const markBegin, markEnd = "\uFDD0", "\uFDD1"

// newMarker makes up a text that occurs neither in the template nor in a
// message: the first number that no text has between these characters. Every
// text is read once, however many markers it is made of.
func newMarker(source string, msgs []Message) string {
	used := map[string]bool{}
	look := func(text string) {
		for _, rest := range strings.Split(text, markBegin)[1:] {
			if n, _, ended := strings.Cut(rest, markEnd); ended {
				used[n] = true
			}
		}
	}
	look(source)
	for _, m := range msgs {
		look(m.Role)
		look(m.Content)
	}
	for n := 0; ; n++ {
		if s := strconv.Itoa(n); !used[s] {
			return markBegin + s + markEnd
		}
	}
}

// partNumbers puts the marker between a digit and a point before a rune beyond
// ASCII ("1.é"). Such a number in an expression sends gonja's lexer back to
// before it, over and over, while it collects tokens without end. In a text
// the marker vanishes from the output like any other.
func partNumbers(source, mark string) string {
	var b strings.Builder
	done := 0
	for i := 1; i+1 < len(source); i++ {
		if source[i] != '.' || source[i+1] < utf8.RuneSelf {
			continue
		}
		if r, _ := utf8.DecodeLastRuneInString(source[:i]); unicode.IsNumber(r) {
			b.WriteString(source[done:i])
			b.WriteString(mark)
			done = i
		}
	}
	b.WriteString(source[done:])
	return b.String()
}

// hider keeps control tokens out of the texts of messages.
type hider struct {
	v    *Vocab
	mark string
	gaps []string // texts that the template may take out of a message
}

// hide puts the marker into a message's text wherever the text could become,
// or become part of, a control token: inside each that it contains, or would
// contain with one or all of the template's string literals taken out of it
// ("<|eot</think>_id|>"); after an end that is the beginning of one and before
// a beginning that is the end of one, both also where trimming would put them.
// Letter case is ignored, since templates change it.
func (h *hider) hide(text string) string {
	text = validUTF8(text)
	folded := foldASCII(text)
	cuts := h.inside(nil, folded, nil)
	var found []string
	for _, g := range h.gaps {
		if strings.Contains(folded, g) {
			found = append(found, g)
			cuts = h.inside(cuts, folded, []string{g})
		}
	}
	if len(found) > 1 {
		cuts = h.inside(cuts, folded, found)
	}
	cuts = h.ends(cuts, folded)
	slices.Sort(cuts)
	var b strings.Builder
	lo := 0
	for _, cut := range slices.Compact(cuts) {
		b.WriteString(text[lo:cut])
		b.WriteString(h.mark)
		lo = cut
	}
	b.WriteString(text[lo:])
	return b.String()
}

// inside appends the places behind the first character of every control token
// in a text without gaps.
func (h *hider) inside(cuts []int, text string, gaps []string) []int {
	squeezed, at := text, func(i int) int { return i }
	if len(gaps) > 0 {
		var from []int
		squeezed, from = squeeze(text, gaps)
		at = func(i int) int { return from[i] }
	}
	for i := range h.v.specials {
		s := foldASCII(h.v.specials[i].text)
		if !h.v.specials[i].hide {
			continue
		}
		_, first := utf8.DecodeRuneInString(s)
		for lo := 0; ; lo += first {
			k := strings.Index(squeezed[lo:], s)
			if k < 0 {
				break
			}
			lo += k
			cuts = append(cuts, at(lo+first-1)+1)
		}
	}
	return cuts
}

// squeeze takes gaps out of text, the longer first where several stand, and
// tells where each byte that is left came from.
func squeeze(text string, gaps []string) (string, []int) {
	gaps = slices.Clone(gaps)
	slices.SortFunc(gaps, func(a, b string) int { return len(b) - len(a) })
	var out []byte
	var from []int
next:
	for i := 0; i < len(text); {
		for _, g := range gaps {
			if strings.HasPrefix(text[i:], g) {
				i += len(g)
				continue next
			}
		}
		out, from = append(out, text[i]), append(from, i)
		i++
	}
	return string(out), from
}

// ends appends the ends of a text, as it is and trimmed, at which a control
// token could be completed by the template.
func (h *hider) ends(cuts []int, text string) []int {
	from := len(text) - len(strings.TrimLeftFunc(text, unicode.IsSpace))
	to := len(strings.TrimRightFunc(text, unicode.IsSpace))
	for i := range h.v.specials {
		if !h.v.specials[i].hide {
			continue
		}
		s := foldASCII(h.v.specials[i].text)
		for k := 1; k < len(s); k++ {
			for _, end := range []int{to, len(text)} {
				if strings.HasSuffix(text[:end], s[:k]) {
					cuts = append(cuts, end)
				}
			}
			for _, begin := range []int{from, 0} {
				if strings.HasPrefix(text[begin:], s[k:]) {
					cuts = append(cuts, begin)
				}
			}
		}
	}
	return cuts
}

// maxLiterals bounds the work of hiding for templates made of literals.
const maxLiterals = 256

// literals are the string literals of a template, in lower case; none when it
// cannot be read (rendering it will say so).
func literals(source string) (lits []string) {
	defer func() {
		if recover() != nil {
			lits = nil
		}
	}()
	if len(source) > maxSource {
		return nil
	}
	escapes := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r")
	for s := tokens.LexAll(source, jinjaConfig()); !s.End() && len(lits) < maxLiterals; s.Next() {
		if t := s.Current(); t.Type == tokens.String && t.Val != "" {
			if lit := foldASCII(escapes.Replace(t.Val)); !slices.Contains(lits, lit) {
				lits = append(lits, lit)
			}
		}
	}
	return lits
}

// foldASCII lowers ASCII letters and keeps all byte positions.
func foldASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
