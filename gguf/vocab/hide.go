package vocab

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// newMarker makes up a text that occurs neither in the template nor in a
// message. It begins and ends with different noncharacters, which white space
// trimming and letter case leave alone, so it cannot overlap itself.
func newMarker(source string, msgs []Message) string {
	for n := 0; ; n++ {
		mark := "\uFDD0" + strconv.Itoa(n) + "\uFDD1"
		used := func(m Message) bool { return strings.Contains(m.Content, mark) || strings.Contains(m.Role, mark) }
		if !strings.Contains(source, mark) && !slices.ContainsFunc(msgs, used) {
			return mark
		}
	}
}

// hide puts the marker into a message's text wherever the text could become,
// or become part of, a control token: inside each that it contains (in any
// letter case, since templates change it), after an end that is the beginning
// of one and before a beginning that is the end of one, both also where
// trimming would put them.
func (v *Vocab) hide(text, mark string) string {
	text = validUTF8(text)
	folded := foldASCII(text)
	from := len(text) - len(strings.TrimLeftFunc(text, unicode.IsSpace))
	to := len(strings.TrimRightFunc(text, unicode.IsSpace))
	var cuts []int
	for i := range v.specials {
		if !v.specials[i].control {
			continue
		}
		s := foldASCII(v.specials[i].text)
		_, first := utf8.DecodeRuneInString(s)
		for lo := 0; ; {
			at := strings.Index(folded[lo:], s)
			if at < 0 {
				break
			}
			cuts = append(cuts, lo+at+first)
			lo += at + first
		}
		for k := 1; k < len(s); k++ {
			for _, end := range []int{to, len(text)} {
				if strings.HasSuffix(folded[:end], s[:k]) {
					cuts = append(cuts, end)
				}
			}
			for _, begin := range []int{from, 0} {
				if strings.HasPrefix(folded[begin:], s[k:]) {
					cuts = append(cuts, begin)
				}
			}
		}
	}
	if len(cuts) == 0 {
		return text
	}
	slices.Sort(cuts)
	var b strings.Builder
	lo := 0
	for _, cut := range slices.Compact(cuts) {
		b.WriteString(text[lo:cut])
		b.WriteString(mark)
		lo = cut
	}
	b.WriteString(text[lo:])
	return b.String()
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
