// Package sample picks the next token from one row of logits.
package sample

import "tritflow/device"

// Params of one request. The zero value is greedy.
type Params struct {
	Temperature float32 // 0 = greedy
	TopK        int     // 0 = off
	TypicalP    float32 // 0 or 1 = off
	TopP        float32 // 1 = off
	MinP        float32 // 0 = off
	Repeat      float32 // 0 or 1 = off
	Frequency   float32
	Presence    float32
	LastN       int // tokens that penalties look back on; 0 = 64
	Seed        uint64
}

// Validate refuses values outside their range with a *ParamError.
func (p Params) Validate() error { panic("skeleton") }

// Need is what the head must answer: the topK largest logits, or the full row.
func (p Params) Need(logprobs int) (topK int, full bool) { panic("skeleton") }

// Sampler is the state of one request: generator and history. Not safe for concurrent use.
type Sampler struct{}

func New(p Params) *Sampler { panic("skeleton") }

// Accept tells the sampler of a token of the prompt or of the answer.
func (s *Sampler) Accept(id int32) { panic("skeleton") }

// Choice is a drawn token; Logprob and Top are natural logs of the untempered
// softmax of the raw logits, filled when logprobs were asked for.
type Choice struct {
	ID      int32
	Logprob float64
	Top     []TokenLogprob
}

type TokenLogprob struct {
	ID      int32
	Logprob float64
}

// Sample draws the next token. logprobs: how many alternatives to report (-1 = none, 0 = only the drawn one).
func (s *Sampler) Sample(sc device.Scores, logprobs int) (Choice, error) { panic("skeleton") }
