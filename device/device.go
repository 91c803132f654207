package device

import (
	"context"
	"time"

	"tritflow/graph"
)

// Device is a place where parts of a model live and run: a CPU worker pool, a
// GPU, or something behind a wire. It executes whole blocks, so that a GPU can
// fuse and capture them and a CPU can keep a layer in cache.
//
// Loading is synchronous. Forward calls may be asynchronous inside: a device
// may return a Hidden whose values are still being computed, as long as the
// order of calls is kept. A Device is safe for concurrent use by the stages
// that live on it.
type Device interface {
	Info() Info
	Ledger() *Ledger

	// LoadEmbed, LoadBlocks and LoadHead take the weights over: in place (a CPU
	// reading the mapped file) or as a copy in the device's own layout. The
	// tensors of the graph must stay valid until the part is closed.
	LoadEmbed(ctx context.Context, e *graph.Embed) (Embed, error)
	// LoadBlocks loads consecutive blocks as one unit together with their KV
	// pages. A device whose Info says FuseBlocks wants all its blocks at once.
	LoadBlocks(ctx context.Context, blocks []graph.Block, kv KV) (Blocks, error)
	LoadHead(ctx context.Context, h *graph.Head) (Head, error)

	// Import moves activations that live on another device to this one and
	// takes ownership of x. Activations of this device are returned as they are.
	Import(ctx context.Context, x Hidden) (Hidden, error)

	// Close frees everything; parts must not be used after it.
	Close() error
}

// Info describes a device to people and planners.
type Info struct {
	Name       string   // as the user wrote it, numbered: "cpu:0", "cuda:1"
	Kind       string   // "cpu", "cuda"
	Model      string   // "AMD EPYC ...", "NVIDIA H200"
	Tier       string   // kernel tier: "generic", "avx2", "avx512", "sm_90"
	Workers    int      // worker threads; 0 where that means nothing
	Memory     uint64   // bytes that may be planned with; 0 unknown
	Pool       string   // what it is that has this memory, for devices that take from the same; "": nobody else does
	Rows       int      // rows that a Step should carry for this device to work at full speed, where there are so many; 0 = no wish
	BlockCost  uint64   // what a block costs besides reading its weights, as the bytes read in that time
	Driver     uint64   // host memory that its driver takes in this process, once for all devices of the kind
	HostMemory bool     // activations are plain host memory: Import between two such devices copies nothing
	FuseBlocks bool     // prefers all its blocks as one part (one graph) to one part a block
	Ahead      bool     // with all parts on it, begins the next batch early where Batch.Next tells of it
	KVTypes    []string // KV cache types it can hold: "f32", "f16", "q8_0", "q4_0"
	Features   []string // instruction sets or capabilities that matter for speed, for people
}

// HostPool is the Pool of devices whose memory is the host's.
const HostPool = "the host's memory"

// KV says how the keys and values of each block are kept: in pages of PageSize
// positions, numbered 0..Pages-1. Page numbers are handed out by the
// scheduler; the same number means the same positions of the same sequence in
// every block, so one page table serves the whole pipeline.
type KV struct {
	Type     string // one of Info.KVTypes
	PageSize int    // positions a page
	Pages    int    // pages a block
}

// Batch is the ragged batch of rows that travels through the parts. Rows of
// one sequence stand together in ascending position. A Batch is read-only for
// devices but for Fail; one stage at a time owns it.
type Batch struct {
	Rows    []Row
	Seqs    []Seq
	Outputs []Output // ascending by Row

	// Next is a hint: the next batch that these parts see will most likely be those of these
	// sequences whose Pages cover the next position, or some of them, in this order: a row each,
	// its token the likeliest that this batch brings, asked for the likeliest token again. What is
	// written at that position in vain does no harm. A device may begin that batch at once; what it
	// answers must never depend on the hint.
	Next bool
}

// Row is one token of one sequence at one position.
type Row struct {
	Seq   int32 // index into Batch.Seqs
	Pos   int32
	Token int32
}

// Seq is what a batch holds of one sequence.
type Seq struct {
	ID       uint64
	First, N int     // its rows are Rows[First : First+N]
	Pages    []int32 // position p is in page Pages[p/PageSize]; covers every position up to the last row
	Err      error   // set by Fail; later parts may skip its rows
}

// Output asks the head for the logits of one row.
type Output struct {
	Row  int32
	TopK int  // the TopK largest logits (1 = greedy) are enough ...
	Full bool // ... unless the whole row is needed
}

// Fail marks one sequence of the batch as failed; the others go on. The first
// error stays.
func (b *Batch) Fail(seq int32, err error) {
	if b.Seqs[seq].Err == nil {
		b.Seqs[seq].Err = err
	}
}

// Hidden is a handle to activations [rows, hidden] that live on a device.
type Hidden interface {
	// Host copies the values to dst (rows × hidden, row-major), waiting for
	// them where they are still being computed.
	Host(dst []float32) error
	Shape() (rows, hidden int)
	// Release gives the memory back. A handle passed to a Forward or Import
	// belongs to it, also when it fails.
	Release()
}

// Logits are the head's answers, one per Batch.Outputs entry, valid until Release.
type Logits interface {
	// Row returns the answer for Outputs[i]: the whole row when Full was asked
	// (or is cheaper for the device), else only the Top candidates, in
	// descending order of logit, ascending id among equals. Several goroutines may
	// call it at once.
	Row(i int) (Scores, error)
	Release()
}

// Scores are the logits of one row.
type Scores struct {
	Full []float32   // nil when only Top was computed
	Top  []Candidate // filled when TopK > 0
}

// Candidate is a token and its logit.
type Candidate struct {
	ID    int32
	Logit float32
}

// Worked is called once for a Forward call, when the device has finished its
// work, with the interval in which it worked on it (waiting for the device
// excluded). It may be called from another goroutine and after Forward returned.
// It may be nil.
type Worked func(start, end time.Time)

// Embed is a loaded embedding: it turns Row.Token into rows of the residual
// stream, [len(Rows), hidden]. For all parts, an error from Forward means that
// the whole batch failed; failures of single sequences are recorded with
// Batch.Fail, and the values of their rows are undefined from then on.
type Embed interface {
	Forward(ctx context.Context, b *Batch, done Worked) (Hidden, error)
	Close() error
}

// Blocks are consecutive transformer blocks loaded as one part. Forward writes
// the keys and values of the batch's rows to the pages and reads those of
// earlier positions; x and the result are [len(Rows), hidden].
type Blocks interface {
	Forward(ctx context.Context, b *Batch, x Hidden, done Worked) (Hidden, error)
	Close() error
}

// Head is a loaded final norm and projection. Forward answers Batch.Outputs.
type Head interface {
	Forward(ctx context.Context, b *Batch, x Hidden, done Worked) (Logits, error)
	Close() error
}
