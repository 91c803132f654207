package vocab

import "fmt"

// UnsupportedError refuses a tokenizer that this package cannot reproduce
// exactly.
type UnsupportedError struct {
	What string // "tokenizer model", "pre-tokenizer"
	Name string // its name in the file or in Options
	Hint string // what to do instead
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("vocab: unsupported %s %q: %s", e.What, e.Name, e.Hint)
}

// KeyError says which metadata key of the vocabulary is wrong and how.
type KeyError struct {
	Key    string
	Reason string
	Err    error // cause, may be nil
}

func (e *KeyError) Error() string {
	s := fmt.Sprintf("vocab: key %q: %s", e.Key, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; convert the model again or use another file"
}

func (e *KeyError) Unwrap() error { return e.Err }

// TemplateError says that a chat template cannot be parsed or rendered.
type TemplateError struct {
	Template string // its Name
	Reason   string
	Err      error // cause, may be nil
}

func (e *TemplateError) Error() string {
	s := fmt.Sprintf("vocab: chat template %q: %s", e.Template, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *TemplateError) Unwrap() error { return e.Err }
