package vocab

import (
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// TokenType is a token's kind as the file's token_type array has it.
type TokenType uint8

// The token types of GGUF.
const (
	Undefined TokenType = iota
	Normal
	Unknown
	Control
	UserDefined
	Unused
	Byte
)

// Tokenizer models by their GGUF names.
const (
	modelBPE = "gpt2"
	modelSPM = "llama"
)

// none stands for a special token that the file does not have.
const none int32 = -1

// Vocab is a tokenizer. It does not change and is safe for concurrent use; the
// first Encode of a "gpt2" vocabulary takes a moment more (0.1 s for 280,000
// merges), because its tables are made then.
type Vocab struct {
	model    string
	pre      string
	texts    []string // id -> text as in the file; views of one block of memory
	types    []TokenType
	ids      *textIndex
	scores   []float32 // SPM only
	bpe      *bpe      // gpt2 only
	byteIDs  [256]int32
	specials []special
	starts   [256]bool // first bytes of special tokens

	bos, eos, unk, eot, eom     int32
	addBOS, addEOS              bool
	addSpacePrefix, cleanSpaces bool
	escapeSpaces                bool // spaces are U+2581 in token texts
	byteLevel                   bool // token texts are byte-mapped

	eog      []int32
	warnings []string
	template string // tokenizer.chat_template
	arch     string // general.architecture
	said     said
}

// said are the texts of tokens that streams have made already.
type said struct {
	once  sync.Once
	texts []atomic.Pointer[string]
}

// Size is the number of tokens; ids are 0 … Size()-1.
func (v *Vocab) Size() int { return len(v.texts) }

// Text is the token as the file writes it ("Ġthe", "▁the", "<0x0A>"), "" for
// an id outside the vocabulary.
func (v *Vocab) Text(id int32) string {
	if id < 0 || int(id) >= len(v.texts) {
		return ""
	}
	return v.texts[id]
}

// Type is the token's type, Undefined for an id outside the vocabulary.
func (v *Vocab) Type(id int32) TokenType {
	if id < 0 || int(id) >= len(v.types) {
		return Undefined
	}
	return v.types[id]
}

// ID finds the token that the file writes as text.
func (v *Vocab) ID(text string) (int32, bool) {
	id := v.ids.get(text)
	return id, id != none
}

// IsEOG tells whether id ends generation.
func (v *Vocab) IsEOG(id int32) bool {
	_, ok := slices.BinarySearch(v.eog, id)
	return ok
}

// EOG lists the tokens that end generation, ascending. The caller owns it.
func (v *Vocab) EOG() []int32 { return slices.Clone(v.eog) }

// BOS is the token that begins a text, false when the vocabulary has none.
func (v *Vocab) BOS() (int32, bool) { return v.bos, v.bos != none }

// EOS is the token that ends a text, false when the vocabulary has none.
func (v *Vocab) EOS() (int32, bool) { return v.eos, v.eos != none }

// AddBOS tells whether EncodeOptions.AddSpecial begins a text with BOS.
func (v *Vocab) AddBOS() bool { return v.addBOS && v.bos != none }

// AddEOS tells whether EncodeOptions.AddSpecial ends a text with EOS.
func (v *Vocab) AddEOS() bool { return v.addEOS && v.eos != none }

// Model is "gpt2" (byte-level BPE) or "llama" (SPM).
func (v *Vocab) Model() string { return v.model }

// Pre is the name of the pre-tokenizer in use, "" for SPM.
func (v *Vocab) Pre() string { return v.pre }

// Warnings says what was guessed, assumed or overridden while loading. The
// caller owns it.
func (v *Vocab) Warnings() []string { return slices.Clone(v.warnings) }

// validUTF8 replaces each byte that is not part of valid UTF-8 by U+FFFD, so
// that every tokenizer sees code points.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
