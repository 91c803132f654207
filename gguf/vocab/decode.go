package vocab

import (
	"fmt"
	"strconv"
	"strings"
)

// Piece is the bytes of one token when streaming, with its leading space and
// perhaps with incomplete UTF-8. Control and unknown tokens are empty unless
// special is set (then their text), as is an id outside the vocabulary. The
// caller owns the bytes.
func (v *Vocab) Piece(id int32, special bool) []byte { return v.appendPiece(nil, id, special) }

func (v *Vocab) appendPiece(dst []byte, id int32, special bool) []byte {
	text := v.Text(id)
	switch v.Type(id) {
	case Control, Unknown:
		if !special {
			return dst
		}
		return append(dst, text...)
	case UserDefined:
		return append(dst, text...)
	case Byte:
		if b, ok := byteOf(text); ok {
			return append(dst, b)
		}
	}
	switch {
	case v.byteLevel:
		return appendUnmapped(dst, text)
	case v.escapeSpaces:
		text = strings.ReplaceAll(text, spaceMark, " ")
	}
	return append(dst, text...)
}

// appendUnmapped turns a byte-mapped text back; a code point that stands for
// no byte is written out as llama.cpp writes it.
func appendUnmapped(dst []byte, text string) []byte {
	for _, r := range text {
		if b, ok := byteLevel.unmap(r); ok {
			dst = append(dst, b)
			continue
		}
		dst = fmt.Appendf(dst, "[UNK_BYTE_0x%x%s]", string(r), text)
	}
	return dst
}

// byteOf reads the text of a byte token, "<0x0A>".
func byteOf(text string) (byte, bool) {
	if len(text) != 6 || text[:3] != "<0x" || text[5] != '>' {
		return 0, false
	}
	b, err := strconv.ParseUint(text[3:5], 16, 8)
	return byte(b), err == nil
}

// Decode is the whole-sequence way back: the pieces joined, the space that
// encoding prefixed taken off the first that is not empty, and, where the file's tokenizer
// asks for it, spaces before punctuation and around contractions cleaned up
// (as llama.cpp does; streaming does neither). special prints control tokens
// too. Bytes that are not UTF-8 stay as they are.
func (v *Vocab) Decode(ids []int32, special bool) string {
	var out []byte
	first := v.addSpacePrefix
	for _, id := range ids {
		at := len(out)
		out = v.appendPiece(out, id, special)
		if first && len(out) > at {
			if out[at] == ' ' {
				out = append(out[:at], out[at+1:]...)
			}
			first = false
		}
	}
	if v.cleanSpaces {
		return cleanSpaces(string(out))
	}
	return string(out)
}

// The three passes of cleanSpaces.
var cleaners = [...]*strings.Replacer{
	strings.NewReplacer(" ?", "?", " !", "!", " .", ".", " ,", ","),
	strings.NewReplacer(" ' ", "'"),
	strings.NewReplacer(" 's", "'s", " 'm", "'m", " 're", "'re", " 've", "'ve"),
}

// cleanSpaces is the clean-up of Hugging Face's tokenizers as llama.cpp has it.
func cleanSpaces(s string) string {
	for _, c := range cleaners {
		s = c.Replace(s)
	}
	return s
}
