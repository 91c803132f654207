// Package cpu is the device that computes on the processor: a pool of workers
// that executes parts of a model, weights read in place from the mapped file.
// Importing it registers the kind "cpu" ("cpu", "cpu:4").
//
//	stage goroutines                 device                        workers
//	Embed.Forward  ─┐
//	Blocks.Forward ─┼─▶ turn (one at a time, fair) ─▶ control ◀──▶ 0 … W-1, watching
//	Head.Forward   ─┘                                   │            ▲     or asleep
//	                                                    └─ job ──────┘
//	                                                       (pieces; a share each)
//
// A Forward call is a short list of jobs; a job is a parallel loop over output
// rows of matrices, batch rows or attention heads. Each worker has a share of it,
// indices that follow each other, takes that in pieces, and then pieces of what
// others have left. What is done between jobs belongs to no worker: whoever sees a job end
// goes on with the call (control.go).
//
// Another process may take a worker's core in the middle of a piece. In jobs that memory bounds the others
// then do the piece again, and go on without that worker (job.go, work.go, watch.go); workers
// that the scheduler left on one core part (spread.go). Jobs of one block:
//
//	norm+quantize → Q,K,V → QK-norm, RoPE, keep K,V → attention → sub-norm+quantize → O
//	→ add, norm+quantize → gate,up,activation → sub-norm+quantize → down → add, check
//
// Of the head, norm → logits → largest. Outputs that ask for the largest logits
// alone are screened once a low-bit copy of the head is there (screening.go
// makes it, screened.go uses it): norm → bounds → short list → exact logits of
// the list → largest, with the same bits.
//
// Every value is computed by one worker from its inputs alone, in the order
// that package quantkern fixes, so no bit of a result depends on the number of
// workers, on the other rows of the batch, on how a prompt was cut into chunks
// or on which pages hold its keys.
//
// Rows of a sequence that has failed are left out of all later work. A fault
// in a mapped file and a panic in a kernel end the Forward call with an error,
// not the process.
package cpu
