package vocab

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
