package hf

// Error says what is wrong with a folder, or what of it is not supported.
type Error struct {
	File   string // path
	Tensor string // "" where it is about none
	Field  string // of a JSON file, with dots; "" where it is about none
	Reason string // what is wrong and what to do
	Err    error  // the cause, may be nil
}

func (e *Error) Error() string {
	s := "hf: " + e.File + ": "
	if e.Tensor != "" {
		s += "tensor " + e.Tensor + ": "
	}
	if e.Field != "" {
		s += "field " + e.Field + ": "
	}
	s += e.Reason
	if e.Err != nil {
		if e.Reason != "" {
			s += ": "
		}
		s += e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
