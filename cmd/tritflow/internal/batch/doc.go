// Package batch runs a file of requests through an engine so that every line is
// answered exactly once, whatever happens in between.
//
//	            digests, ids                                        in order of finishing      in order of input
//	Source ─▶ reader ══▶ workers (parse, tokenize, submit, collect) ══▶ writer ─▶ journal ─▶ order ─▶ output
//	             ▲                                                        │
//	             └──────────── window: lines ahead of the output ◀────────┘
//
// The writer appends a finished line to the journal first and, when its turn has
// come, to the output. A line that is early waits in the journal, not in memory.
// The reader may be a fixed number of lines ahead of the output, so memory does
// not depend on the length of the input.
//
// Open reads what an earlier run left: the journal is the truth, and the output
// is compared with it, cut where they part, and completed from it. Run then
// answers the lines that the journal lacks. The lines do not depend on when,
// where or beside what they were computed, so the file comes out the same.
package batch
