package stages

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"tritflow/gguf/vocab"
	"tritflow/stages/sample"
)

// Request is what a user asks. Exactly one of Prompt, Segments and Tokens is the prompt.
type Request struct {
	Prompt    string
	Segments  []vocab.Segment // a rendered chat; a missing BOS is added
	Tokens    []int32         // ids taken as they are
	NoSpecial bool            // Prompt: special tokens written in it are plain text
	MaxTokens int             // must be > 0
	Sampling  sample.Params
	Stop      []string
	StopIDs   []int32
	IgnoreEOS bool          // end tokens are emitted like any other and do not stop
	Logprobs  int           // 0 = none, n = the drawn token and n-1 best others
	Timeout   time.Duration // from submission; 0 = none
	Deadline  time.Time     // ends the request like Timeout, and of equal priority the earlier one goes first; zero = none
	Priority  int           // the higher one is admitted first, gets spare rows first and is preempted last; 0 is usual
	NoWait    bool          // refuse with ErrBusy instead of waiting while the queue is full
}

// NoToken is the ID of a Token that carries only text: what had been held back
// when the answer ended without a further token.
const NoToken int32 = -1

// Token is one generated token. Text is what became printable with it (held
// back while a UTF-8 sequence or a possible stop string is incomplete).
type Token struct {
	ID      int32
	Text    string
	Logprob float64               // when Request.Logprobs > 0
	Top     []sample.TokenLogprob // the best other tokens, best first
}

// Finish says why a request ended.
type Finish string

// The ways a request can end.
const (
	FinishStop      Finish = "stop"      // end token, stop id or stop string
	FinishLength    Finish = "length"    // MaxTokens or the context
	FinishCancelled Finish = "cancelled" // the caller's context
	FinishTimeout   Finish = "timeout"
	FinishError     Finish = "error"
)

// Result is known when a stream has ended.
type Result struct {
	Finish       Finish
	Tokens       []int32 // generated, without the end token that stopped it
	PromptTokens int
	CachedTokens int           // of the prompt, taken over from the prefix cache
	FirstToken   time.Duration // from submission
	Prefill      time.Duration // from first row in to first token
	Decode       time.Duration // first to last token

	// Drawn is every draw in its order: Tokens with their logits, and the end token
	// that stopped them where one did. Digest makes one figure of it.
	Drawn []Drawn
}

// Drawn is a token that was drawn, and its logit as the head gave it, before penalties
// and temperature.
type Drawn struct {
	ID    int32
	Logit float32
}

// Digest is the SHA-256 of all draws: each token's id and the bits of its logit,
// both little-endian. The logit depends on all of the network and on everything before
// it, so that no two computations that differ anywhere are likely to agree; and it is
// known exactly also where the head computes few of its rows.
func (r *Result) Digest() [sha256.Size]byte {
	text := make([]byte, 0, 8*len(r.Drawn))
	for _, d := range r.Drawn {
		text = binary.LittleEndian.AppendUint32(text, uint32(d.ID))
		text = binary.LittleEndian.AppendUint32(text, math.Float32bits(d.Logit))
	}
	return sha256.Sum256(text)
}

// language is what requests need to know of a vocabulary.
type language struct {
	vocab  *vocab.Vocab
	ids    int // of the network; ids at or above it cannot be embedded
	stream func() textStream
	isEOG  func(int32) bool
}

// encode finds the prompt's ids and checks them against the context.
func (l language) encode(r *Request, ctx int) ([]int32, error) {
	field, ids, err := l.prompt(r)
	switch {
	case err != nil:
		return nil, err
	case len(ids) == 0:
		return nil, &RequestError{Field: field, Reason: "the prompt is empty; give it some text"}
	case len(ids) > ctx:
		return nil, &RequestError{Field: field, Reason: fmt.Sprintf("the prompt has %d tokens, more than the context of %d; shorten it or open the model with a larger context (--ctx)", len(ids), ctx)}
	}
	return ids, l.checkIDs(field, ids)
}

// prompt tokenizes the one form of prompt that is given.
func (l language) prompt(r *Request) (field string, ids []int32, err error) {
	given := 0
	if r.Prompt != "" {
		given++
		field = "Prompt"
	}
	if len(r.Segments) > 0 {
		given++
		field = "Segments"
	}
	if len(r.Tokens) > 0 {
		given++
		field = "Tokens"
	}
	switch {
	case given == 0:
		return "", nil, &RequestError{Field: "Prompt", Reason: "the prompt is empty; set Prompt, Segments or Tokens"}
	case given > 1:
		return "", nil, &RequestError{Field: field, Reason: "Prompt, Segments and Tokens exclude each other; set one of them"}
	case field == "Prompt":
		return field, l.vocab.Encode(r.Prompt, vocab.EncodeOptions{AddSpecial: true, ParseSpecial: !r.NoSpecial}), nil
	case field == "Tokens":
		return field, slices.Clone(r.Tokens), nil
	}
	ids = l.vocab.EncodeSegments(r.Segments, false)
	if bos, ok := l.vocab.BOS(); ok && l.vocab.AddBOS() && len(ids) > 0 && ids[0] != bos {
		ids = slices.Insert(ids, 0, bos)
	}
	return field, ids, nil
}

func (l language) checkIDs(field string, ids []int32) error {
	for i, id := range ids {
		if id < 0 || int(id) >= l.ids {
			return &RequestError{Field: field, Reason: fmt.Sprintf("token %d is %d, outside the model's vocabulary of %d", i, id, l.ids)}
		}
	}
	return nil
}

// check refuses what can be refused without tokenizing.
func (l language) check(r *Request) error {
	var pe *sample.ParamError
	if err := r.Sampling.Validate(); errors.As(err, &pe) {
		return &RequestError{Field: "Sampling." + pe.Param, Reason: fmt.Sprintf("%v: %s", pe.Value, pe.Reason), Err: err}
	}
	for i, s := range r.Stop {
		if s == "" || !utf8.ValidString(s) {
			return &RequestError{Field: fmt.Sprintf("Stop[%d]", i), Reason: "a stop string must be valid UTF-8 and not empty"}
		}
	}
	switch {
	case r.MaxTokens <= 0:
		return &RequestError{Field: "MaxTokens", Reason: fmt.Sprintf("%d: must be at least 1", r.MaxTokens)}
	case r.Logprobs < 0 || r.Logprobs > l.ids:
		return &RequestError{Field: "Logprobs", Reason: fmt.Sprintf("%d: must be between 0 (none) and the vocabulary's %d", r.Logprobs, l.ids)}
	case r.Timeout < 0:
		return &RequestError{Field: "Timeout", Reason: fmt.Sprintf("%v: must be 0 (none) or greater", r.Timeout)}
	}
	return l.checkIDs("StopIDs", r.StopIDs)
}

// generation makes the task of a request that passed check.
func (l language) generation(r *Request, ids []int32, ctx int) *generation {
	g := &generation{
		sampler: sample.New(r.Sampling), params: r.Sampling, logprobs: r.Logprobs - 1,
		// The last token that is drawn is never fed, hence one more than there are places.
		limit: min(r.MaxTokens, ctx-len(ids)+1), prompt: len(ids),
		text: l.stream(), stop: stopMatcher{stops: slices.Clone(r.Stop)},
		ended: make(chan struct{}),
	}
	if !r.Sampling.AnswerOnly {
		for _, id := range ids {
			g.sampler.Accept(id)
		}
	}
	stopIDs, ignore := slices.Clone(r.StopIDs), r.IgnoreEOS
	g.ends = func(id int32) bool {
		return !ignore && l.isEOG(id) || slices.Contains(stopIDs, id)
	}
	return g
}
