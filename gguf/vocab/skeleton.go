// Package vocab turns text into token ids and back with the vocabulary that a
// GGUF file carries.
package vocab

import "tritflow/gguf"

// SKELETON: signatures that the other packages compile against.

// Options change what the file says.
type Options struct {
	Pre string // pre-tokenizer to use instead of tokenizer.ggml.pre ("" = the file's)
}

// Vocab is a tokenizer. It is immutable and safe for concurrent use.
type Vocab struct{}

// Load builds the tokenizer from metadata; a file without tensors is enough.
// Unknown models and pre-tokenizers are refused by name (*UnsupportedError).
func Load(md *gguf.Metadata, opt Options) (*Vocab, error) { panic("skeleton") }

// Segment is a piece of a prompt. In a Special segment the texts of control
// tokens become those tokens; in others they are plain text.
type Segment struct {
	Text    string
	Special bool
}

// EncodeOptions: AddSpecial adds BOS/EOS where the file says so; ParseSpecial
// takes special tokens written in the text as such.
type EncodeOptions struct {
	AddSpecial   bool
	ParseSpecial bool
}

func (v *Vocab) Encode(text string, opt EncodeOptions) []int32          { panic("skeleton") }
func (v *Vocab) EncodeSegments(segs []Segment, addSpecial bool) []int32 { panic("skeleton") }

// Decode is the whole-sequence way back (with the clean-up that the file's
// tokenizer asks for); special prints control tokens too.
func (v *Vocab) Decode(ids []int32, special bool) string { panic("skeleton") }

// Piece is the bytes of one token when streaming (control tokens: empty unless special).
func (v *Vocab) Piece(id int32, special bool) []byte { panic("skeleton") }

// Stream turns ids into text as they come, holding back incomplete UTF-8.
type Stream struct{}

func (v *Vocab) NewStream(special bool) *Stream { panic("skeleton") }
func (s *Stream) Push(id int32) string          { panic("skeleton") } // the text that is now complete
func (s *Stream) Flush() string                 { panic("skeleton") } // what was held back (U+FFFD for broken bytes)

func (v *Vocab) Size() int                    { panic("skeleton") }
func (v *Vocab) Text(id int32) string         { panic("skeleton") } // the token as the file writes it
func (v *Vocab) ID(text string) (int32, bool) { panic("skeleton") }
func (v *Vocab) IsEOG(id int32) bool          { panic("skeleton") } // end of generation
func (v *Vocab) EOG() []int32                 { panic("skeleton") }
func (v *Vocab) BOS() (int32, bool)           { panic("skeleton") }
func (v *Vocab) AddBOS() bool                 { panic("skeleton") }
func (v *Vocab) Model() string                { panic("skeleton") } // "gpt2", "llama"
func (v *Vocab) Pre() string                  { panic("skeleton") } // the pre-tokenizer in use
func (v *Vocab) Warnings() []string           { panic("skeleton") } // what was guessed or overridden

// Message is one turn of a chat.
type Message struct {
	Role    string // system, user, assistant
	Content string
}

// Template renders chats.
type Template struct{}

// Template returns the chat template: the file's, unless it is known to be
// wrong, a supplied one where it is missing.
func (v *Vocab) Template() (*Template, error) { panic("skeleton") }

// Name says which one is in use ("file", "bitnet", "raw" ...); Note why, when it is not the file's.
func (t *Template) Name() string { panic("skeleton") }
func (t *Template) Note() string { panic("skeleton") }

// Render gives the prompt for a chat. Text that comes from messages is in
// segments that never become special tokens.
func (t *Template) Render(msgs []Message, addGenerationPrompt bool) ([]Segment, error) {
	panic("skeleton")
}
