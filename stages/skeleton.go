// Package stages: see doc.go.
package stages

import (
	"context"
	"iter"
	"time"

	"github.com/rs/zerolog"

	"tritflow/device"
	"tritflow/gguf"
	"tritflow/gguf/vocab"
	"tritflow/graph"
	"tritflow/stages/sample"
	"tritflow/stages/trace"
)

// Options of an Engine. The zero value is a sensible default.
type Options struct {
	Devices  string // "auto", "cpu", "cpu:4", "cpu:1,cpu:1" ...
	Split    []int  // blocks a device; nil = planned
	Ctx      int    // positions a sequence may have; 0 = min(model, 4096)
	KV       string // "f16" (default) or "f32"
	MaxSeqs  int    // sequences alive at once; 0 = 8
	Chunk    int    // rows a Step may carry; 0 = chosen
	Pre      string // pre-tokenizer override
	Gguf     gguf.Options
	Trace    *trace.Recorder // nil = off
	Log      zerolog.Logger
	Progress func(done, total int) // parts loaded; may be nil
}

// Engine is a loaded model: a running pipeline that serves many requests at once.
type Engine struct{}

// Open loads a model file ("" = the one inside the binary) and starts its stages.
func Open(ctx context.Context, path string, opt Options) (*Engine, error) { panic("skeleton") }

// New does the same with an open file, which the engine then owns (also when New fails).
func New(ctx context.Context, f *gguf.File, opt Options) (*Engine, error) { panic("skeleton") }

// Shutdown lets running requests finish and refuses new ones; when ctx ends
// they are aborted. Close aborts at once. Both wait until every goroutine has ended.
func (e *Engine) Shutdown(ctx context.Context) error { panic("skeleton") }
func (e *Engine) Close() error                       { panic("skeleton") }

func (e *Engine) Vocab() *vocab.Vocab      { panic("skeleton") }
func (e *Engine) Model() *graph.Model      { panic("skeleton") }
func (e *Engine) Plan() *graph.Plan        { panic("skeleton") }
func (e *Engine) Devices() []device.Device { panic("skeleton") }
func (e *Engine) Ctx() int                 { panic("skeleton") } // positions a sequence may have
func (e *Engine) LoadTime() time.Duration  { panic("skeleton") }
func (e *Engine) Stats() Stats             { panic("skeleton") }

// Request is what a user asks. Exactly one of Prompt, Segments and Tokens is the prompt.
type Request struct {
	Prompt    string
	Segments  []vocab.Segment // a rendered chat
	Tokens    []int32         // ids taken as they are
	NoSpecial bool            // Prompt: special tokens written in it are plain text
	MaxTokens int             // must be > 0
	Sampling  sample.Params
	Stop      []string
	StopIDs   []int32
	IgnoreEOS bool // end tokens are emitted like any other and do not stop
	Logprobs  int  // 0 = none, n = the drawn token and n-1 best others
	Timeout   time.Duration
}

// Token is one generated token. Text is what became printable with it (held
// back while a UTF-8 sequence or a possible stop string is incomplete).
type Token struct {
	ID      int32
	Text    string
	Logprob float64
	Top     []sample.TokenLogprob
}

// Finish says why a request ended.
type Finish string

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
	FirstToken   time.Duration // from submission
	Prefill      time.Duration // from first row in to first token
	Decode       time.Duration // first to last token
}

// Stream is a request under way.
type Stream struct{}

// Submit queues a request; errors of the request itself (*RequestError) come at once.
func (e *Engine) Submit(ctx context.Context, r Request) (*Stream, error) { panic("skeleton") }

// Tokens yields the tokens as they come; the last pair may be an error. Breaking off cancels.
func (s *Stream) Tokens() iter.Seq2[Token, error] { panic("skeleton") }

// Result waits for the end.
func (s *Stream) Result() Result { panic("skeleton") }

// Generate is Submit and Tokens in one.
func (e *Engine) Generate(ctx context.Context, r Request) iter.Seq2[Token, error] { panic("skeleton") }

// Logits runs tokens through the network and yields each position's logits
// (valid until the next). step: one token a forward pass.
func (e *Engine) Logits(ctx context.Context, tokens []int32, step bool) iter.Seq2[[]float32, error] {
	panic("skeleton")
}

// Stats is a snapshot of the pipeline's counters.
type Stats struct {
	Stages []StageStats `json:"stages"`
	Steps  uint64       `json:"steps"`
}

// StageStats: where a stage's time went. Starved: waiting for a Step. Blocked:
// waiting for the next stage to take one. Device: waiting for its device.
type StageStats struct {
	Name     string        `json:"name"`
	Device   string        `json:"device"`
	Busy     time.Duration `json:"busy_ns"`
	Device_  time.Duration `json:"device_wait_ns"`
	Starved  time.Duration `json:"starved_ns"`
	Blocked  time.Duration `json:"blocked_ns"`
	Steps    uint64        `json:"steps"`
	Rows     uint64        `json:"rows"`
	QueueMax int           `json:"queue_max"`
	QueueCap int           `json:"queue_cap"`
}
