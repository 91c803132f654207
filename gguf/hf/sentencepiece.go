package hf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// A SentencePiece model is a protocol buffer (google/sentencepiece,
// sentencepiece_model.proto): field 1 are the pieces (1 text, 2 score, 3 type),
// 2 the trainer's settings (3: the kind of model), 3 the normalizer's (3: a
// space before the text).

const (
	wireVarint, wire64, wireBytes, wire32 = 0, 1, 2, 5
	unigramModel, bpeKind                 = 1, 2
)

// field is a field of a message: a number, or bytes.
type field struct {
	id    uint64
	num   uint64
	bytes []byte
}

// nextField takes a field off a message; ok is false where it is broken.
func nextField(b []byte) (f field, rest []byte, ok bool) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, false
	}
	f.id, b = tag>>3, b[n:]
	switch tag & 7 {
	case wireVarint:
		f.num, n = binary.Uvarint(b)
		if n <= 0 {
			return f, nil, false
		}
		return f, b[n:], true
	case wireBytes:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return f, nil, false
		}
		f.bytes = b[n : n+int(size)]
		return f, b[n+int(size):], true
	case wire32:
		if len(b) < 4 {
			return f, nil, false
		}
		f.num = uint64(binary.LittleEndian.Uint32(b))
		return f, b[4:], true
	case wire64:
		if len(b) < 8 {
			return f, nil, false
		}
		f.num = binary.LittleEndian.Uint64(b)
		return f, b[8:], true
	}
	return f, nil, false
}

// eachField calls fn for the fields of a message; false: it is broken.
func eachField(b []byte, fn func(f field) bool) bool {
	for len(b) > 0 {
		f, rest, ok := nextField(b)
		if !ok || !fn(f) {
			return false
		}
		b = rest
	}
	return true
}

func readSentencePiece(path string, raw []byte) (*tokens, error) {
	t := &tokens{file: path, model: "llama", scores: []float32{}}
	kind, space := uint64(unigramModel), true // as the format's defaults are
	ok := eachField(raw, func(f field) bool {
		switch f.id {
		case 1:
			return t.piece(f.bytes)
		case 2:
			return eachField(f.bytes, func(f field) bool {
				if f.id == 3 {
					kind = f.num
				}
				return true
			})
		case 3:
			return eachField(f.bytes, func(f field) bool {
				if f.id == 3 {
					space = f.num != 0
				}
				return true
			})
		}
		return true
	})
	switch {
	case !ok || len(t.texts) == 0:
		return nil, &Error{File: path, Reason: "it is neither a SentencePiece model nor a list of ranks; fetch it again"}
	case kind != bpeKind:
		return nil, &Error{File: path, Reason: fmt.Sprintf("SentencePiece models of kind %d are not supported, only BPE (2)", kind)}
	}
	t.addSpace = &space
	return t, nil
}

// piece appends a token.
func (t *tokens) piece(b []byte) bool {
	text, score, kind := "", float32(0), uint64(normal)
	ok := eachField(b, func(f field) bool {
		switch f.id {
		case 1:
			text = string(f.bytes)
		case 2:
			score = math.Float32frombits(uint32(f.num))
		case 3:
			kind = f.num
		}
		return true
	})
	if !ok || kind < uint64(normal) || kind > uint64(byteToken) {
		return false
	}
	t.texts = append(t.texts, text)
	t.scores = append(t.scores, score)
	t.types = append(t.types, int32(kind)) // the numbers are GGUF's
	return true
}
