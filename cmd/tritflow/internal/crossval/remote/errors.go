package remote

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Reasons that an AnswerError may have.
var (
	ErrNoLogProbs = errors.New("the answer has no log-probabilities")
	ErrTooLarge   = errors.New("the answer is larger than what was asked for can be")
	ErrTruncated  = errors.New("the answer ends too early")
)

// AddressError: an address, or what goes with it, makes no sense.
type AddressError struct {
	Address string
	Reason  string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("crossval: server %s: %s", e.Address, e.Reason)
}

// UnreachableError: nobody answers at an address.
type UnreachableError struct {
	URL string
	Err error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("crossval: server %s cannot be reached: %v; is it running, and is the address right?", e.URL, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// TimeoutError: a server took too long.
type TimeoutError struct {
	URL   string
	After time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("crossval: server %s did not answer within %v; --ref-timeout gives it longer", e.URL, e.After)
}

// Timeout tells that this is one.
func (e *TimeoutError) Timeout() bool { return true }

// StatusError: a server refused.
type StatusError struct {
	URL     string
	Status  int
	Message string // what the body says
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("crossval: server %s: status %d %s", e.URL, e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
		s += "; the environment variable " + KeyVariable + " has the key that is sent"
	}
	return s
}

// Temporary tells whether the same request may succeed later.
func (e *StatusError) Temporary() bool {
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests
}

// AnswerError: a server's answer cannot be used.
type AnswerError struct {
	URL    string
	Reason string
	Err    error
}

func (e *AnswerError) Error() string {
	s := "crossval: server " + e.URL + ": "
	switch {
	case e.Err == nil:
		return s + e.Reason
	case e.Reason == "":
		return s + e.Err.Error()
	}
	return s + e.Err.Error() + ": " + e.Reason
}

func (e *AnswerError) Unwrap() error { return e.Err }

// VocabularyError: a server's model has another vocabulary.
type VocabularyError struct {
	URL    string
	Reason string
}

func (e *VocabularyError) Error() string {
	return fmt.Sprintf("crossval: server %s has a model with another vocabulary: %s", e.URL, e.Reason)
}

// Refused tells errors that the same request will meet again.
func Refused(err error) bool {
	var (
		address *AddressError
		status  *StatusError
		answer  *AnswerError
		vocab   *VocabularyError
	)
	switch {
	case errors.As(err, &address), errors.As(err, &vocab):
		return true
	case errors.As(err, &status):
		return !status.Temporary()
	case errors.As(err, &answer):
		return !errors.Is(err, ErrTruncated)
	}
	return false
}
