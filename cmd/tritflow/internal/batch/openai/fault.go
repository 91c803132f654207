package openai

import "fmt"

// Fault is why a line has no answer.
type Fault struct {
	Status  int    // of the API; 0: the line is no request at all
	Type    string // "invalid_request_error", "server_error"
	Code    string // "" = null
	Param   string // "" = null
	Message string
}

const (
	badRequest  = 400
	serverError = 500

	invalidRequest = "invalid_request_error"
)

// broken is a line that is no request.
func broken(code, format string, args ...any) *Fault {
	return &Fault{Type: invalidRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Broken is a line that cannot be read as a request.
func Broken(code, message string) *Fault { return broken(code, "%s", message) }

// Refused is a request that cannot be served.
func Refused(code, param, message string) *Fault {
	return &Fault{Status: badRequest, Type: invalidRequest, Code: code, Param: param, Message: message}
}

// Failed is a request that was served and failed.
func Failed(code, message string) *Fault {
	return &Fault{Status: serverError, Type: "server_error", Code: code, Message: message}
}

func refuse(code, param, format string, args ...any) *Fault {
	return Refused(code, param, fmt.Sprintf(format, args...))
}
