package vocab

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The expressions that GPT-2 and Llama 3 were published with, and Llama 3's
// variants that take digits one by one or in runs of any length, or spaces in
// powers of two.
const (
	exprGPT2    = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`
	exprLlama3a = `(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|`
	exprLlama3b = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+`
	exprLlama3c = `|\s+(?!\S)|\s+`
	exprJais2c  = `|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}`
)

// unlimited is a run without an upper bound.
const unlimited = int(^uint(0) >> 1)

// scanners are the expressions with a hand-written equivalent. They differ
// from the engine in speed alone; the tests compare them on all code points,
// assigned or not. (llama.cpp's own scanner is said to take unassigned code
// points one by one; here, as in the published expressions, they count as
// symbols, which is also right for those that later Unicode versions assign.)
var scanners = map[string]cutter{
	exprGPT2: cutGPT2,
	exprLlama3a + `\p{N}{1,3}` + exprLlama3b + exprLlama3c: cutLlama3(3),
	exprLlama3a + `\p{N}` + exprLlama3b + exprLlama3c:      cutLlama3(1),
	exprLlama3a + `\p{N}+` + exprLlama3b + exprLlama3c:     cutLlama3(unlimited),
	exprLlama3a + `\p{N}{1,3}` + exprLlama3b + exprJais2c:  cutJais2,
	`\p{N}`:                      cutRuns(isNumber, 1, 1),
	`\p{N}{1,3}`:                 cutRuns(isNumber, 1, 3),
	`\p{N}+`:                     cutRuns(isNumber, 1, unlimited),
	`[0-9]`:                      cutRuns(isDigit, 1, 1),
	`[0-9][0-9][0-9]`:            cutRuns(isDigit, 3, 3),
	"[\\p{P}\\$\\+<=>\\^~\\|`]+": cutRuns(func(r rune) bool { return unicode.IsPunct(r) || strings.ContainsRune("$+<=>^~|`", r) }, 1, unlimited),
	`[\p{P}\$\+<=>\^~\|]+`:       cutRuns(func(r rune) bool { return unicode.IsPunct(r) || strings.ContainsRune("$+<=>^~|", r) }, 1, unlimited),
	"[\r\n]":                     cutRuns(isNewline, 1, 1),
	`\d{1,3}(?=(?:\d{3})*\b)`:    cutThousands,
}

func isNumber(r rune) bool  { return unicode.IsNumber(r) }
func isDigit(r rune) bool   { return '0' <= r && r <= '9' }
func isNewline(r rune) bool { return r == '\r' || r == '\n' }
func isSymbol(r rune) bool {
	return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r)
}

// runAt is the end of the run of at most limit code points of a class that
// begins at byte lo, and how many there are.
func runAt(text string, lo int, is func(rune) bool, limit int) (end, n int) {
	for end = lo; end < len(text) && n < limit; n++ {
		r, size := utf8.DecodeRuneInString(text[end:])
		if !is(r) {
			break
		}
		end += size
	}
	return end, n
}

// cutRuns cuts out runs of least to most code points of one class.
func cutRuns(is func(rune) bool, least, most int) cutter {
	return func(text string, emit func(string)) {
		gap := 0
		for at := 0; at < len(text); {
			end, n := runAt(text, at, is, most)
			if n < least {
				_, size := utf8.DecodeRuneInString(text[at:])
				at += size
				continue
			}
			if gap < at {
				emit(text[gap:at])
			}
			emit(text[at:end])
			at, gap = end, end
		}
		if gap < len(text) {
			emit(text[gap:])
		}
	}
}

// cutThousands cuts numbers into threes counted from their end, unless more of
// a word follows. The engine would look at the rest of the number for each.
func cutThousands(text string, emit func(string)) {
	gap := 0
	for at := 0; at < len(text); {
		end, n := runAt(text, at, unicode.IsDigit, unlimited)
		next, size := utf8.DecodeRuneInString(text[end:])
		if n == 0 || size > 0 && isWord(next) {
			at = end + size
			continue
		}
		if gap < at {
			emit(text[gap:at])
		}
		for first := (n-1)%3 + 1; at < end; first = 3 {
			stop, _ := runAt(text, at, unicode.IsDigit, first)
			emit(text[at:stop])
			at = stop
		}
		gap = end
	}
	if gap < len(text) {
		emit(text[gap:])
	}
}

// isWord tells what \b takes for a part of words: also the joiners U+200C and U+200D.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.Mn, unicode.Nd, unicode.Pc) || r == 0x200C || r == 0x200D
}

// contraction is the length of 's 't 'm 'd 're 've 'll at the start of text.
func contraction(text string, fold bool) int {
	if len(text) < 2 || text[0] != '\'' {
		return 0
	}
	lower := func(c byte) byte {
		if fold && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	switch lower(text[1]) {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(text) > 2 && lower(text[2]) == 'e' {
			return 3
		}
	case 'l':
		if len(text) > 2 && lower(text[2]) == 'l' {
			return 3
		}
	}
	return 0
}

// spaces is where the run of white space at lo is cut: before its last code
// point if something follows (that one belongs to the next word), else at its
// end.
func spaces(text string, lo int) int {
	end, n := runAt(text, lo, unicode.IsSpace, unlimited)
	if n > 1 && end < len(text) {
		_, size := utf8.DecodeLastRuneInString(text[:end])
		end -= size
	}
	return end
}

// cutGPT2 follows exprGPT2.
func cutGPT2(text string, emit func(string)) {
	for lo := 0; lo < len(text); {
		hi := lo + contraction(text[lo:], false)
		if hi == lo {
			hi = afterSpace(text, lo, unicode.IsLetter, isNumber, isSymbol)
		}
		if hi == lo {
			hi = spaces(text, lo)
		}
		emit(text[lo:hi])
		lo = hi
	}
}

// afterSpace is the end of an optional space and a run of one of the classes,
// lo if there is none.
func afterSpace(text string, lo int, classes ...func(rune) bool) int {
	from := lo
	if text[lo] == ' ' {
		from++
	}
	for _, is := range classes {
		if end, n := runAt(text, from, is, unlimited); n > 0 {
			return end
		}
	}
	return lo
}

// cutLlama3 follows Llama 3's expression with numbers of at most digits code
// points.
func cutLlama3(digits int) cutter {
	return func(text string, emit func(string)) {
		for lo := 0; lo < len(text); {
			hi := llama3Word(text, lo, digits)
			emit(text[lo:hi])
			lo = hi
		}
	}
}

// cutJais2 follows Llama 3's expression, except that what it takes for one word
// of spaces is cut into powers of two, the largest first.
func cutJais2(text string, emit func(string)) {
	cutLlama3(3)(text, func(word string) {
		if strings.TrimLeftFunc(word, unicode.IsSpace) != "" || strings.ContainsAny(word, "\r\n") {
			emit(word)
			return
		}
		for size := 512; word != ""; {
			end, n := runAt(word, 0, unicode.IsSpace, size)
			if n < size {
				size /= 2
				continue
			}
			emit(word[:end])
			word = word[end:]
		}
	})
}

// llama3Word is the end of the word at lo.
func llama3Word(text string, lo, digits int) int {
	if n := contraction(text[lo:], true); n > 0 {
		return lo + n
	}
	r, size := utf8.DecodeRuneInString(text[lo:])
	if !isNewline(r) && !isNumber(r) {
		from := lo
		if !unicode.IsLetter(r) {
			from += size
		}
		if end, n := runAt(text, from, unicode.IsLetter, unlimited); n > 0 {
			return end
		}
	}
	if end, n := runAt(text, lo, isNumber, digits); n > 0 {
		return end
	}
	if end := afterSpace(text, lo, isSymbol); end > lo {
		end, _ = runAt(text, end, isNewline, unlimited)
		return end
	}
	end, _ := runAt(text, lo, unicode.IsSpace, unlimited)
	if last := strings.LastIndexAny(text[lo:end], "\r\n"); last >= 0 {
		return lo + last + 1
	}
	return spaces(text, lo)
}
