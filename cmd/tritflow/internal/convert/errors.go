package convert

// Error says what cannot be converted, and what to do.
type Error struct {
	File   string // where it comes from, "" where it is about the output
	Tensor string // "" where it is about none
	Reason string
	Err    error // the cause, may be nil
}

func (e *Error) Error() string {
	s := "convert: "
	if e.File != "" {
		s += e.File + ": "
	}
	if e.Tensor != "" {
		s += "tensor " + e.Tensor + ": "
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
