// Package device says what a place is where parts of a model live and run, and
// keeps the list of the kinds that a program was built with.
//
//	                 *Batch (rows: sequence, position, token)
//	                    │
//	 devices[0]         ▼                            devices[1]
//	┌───────────────────────────────────────┐       ┌──────────────────────────────┐
//	│ Embed ─Hidden─▶ Blocks ─Hidden─▶ …    │─Import▶│ Blocks ─Hidden─▶ Head ─Logits─▶
//	│                   │                   │       │   │                          │
//	│                KV pages               │       │ KV pages                     │
//	└───────────────────────────────────────┘       └──────────────────────────────┘
//
// A part (Embed, Blocks, Head) is loaded once from the description that package
// graph makes of a file and then runs batch after batch. What travels between
// parts is a Hidden: a handle, not values, so that activations stay where they
// were computed until another device imports them. A handle belongs to whoever
// got it last; Forward and Import take it over also when they fail.
//
// A batch is ragged: prefill chunks and single decode rows of any number of
// sequences stand side by side, and the result of a row depends on nothing but
// its own sequence. A failure that belongs to one sequence (a token that the
// vocabulary lacks, a NaN) is recorded with Batch.Fail and the others go on;
// an error that a Forward returns is one of the whole batch. Every such error
// has a type in errors.go.
//
// Implementations register a kind by name (Register, from init); OpenList turns
// what a user wrote ("cpu:4,cuda:0") into open devices. Package devtest holds
// the one suite that every implementation passes.
package device
