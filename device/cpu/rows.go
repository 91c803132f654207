package cpu

import (
	"fmt"

	"tritflow/device"
	"tritflow/quantkern"
)

// rows are those rows of a batch that are worked on: all but those of failed
// sequences. Buffers of the workspace are compact, row i of them belongs to
// row at[i] of the batch.
type rows struct {
	batch *device.Batch
	at    []int32
	bad   []int32 // per row: first value that is not finite, or -1
	spans []span
}

// span are n compact rows from first of one sequence, at positions that follow
// each other.
type span struct{ first, n int }

// spanRows is up to how many rows attend together: enough to share the work on
// keys and values, few enough for queries and sums to stay in the first cache.
const spanRows = 16

// attendTogether cuts the selected rows into spans, those that see the most
// first, so that no worker begins the longest one last.
func (r *rows) attendTogether() {
	r.spans = r.spans[:0]
	for end := len(r.at); end > 0; {
		first := end - 1
		for seq := r.batch.Rows[r.at[first]].Seq; first > 0 && end-first < spanRows && r.batch.Rows[r.at[first-1]].Seq == seq; first-- {
		}
		r.spans = append(r.spans, span{first, end - first})
		end = first
	}
}

// take selects the rows of b.
func (r *rows) take(b *device.Batch) {
	r.batch, r.at = b, r.at[:0]
	for i := range b.Seqs {
		s := &b.Seqs[i]
		if s.Err != nil || s.N == 0 {
			continue
		}
		for row := s.First; row < s.First+s.N; row++ {
			r.at = append(r.at, int32(row))
		}
	}
	r.resize(len(r.at))
}

// takeOutputs selects the rows of the given outputs; a row may stand twice.
func (r *rows) takeOutputs(b *device.Batch, outputs []int32) {
	r.batch, r.at = b, r.at[:0]
	for _, o := range outputs {
		r.at = append(r.at, b.Outputs[o].Row)
	}
	r.resize(len(r.at))
}

// resize makes room for n verdicts.
func (r *rows) resize(n int) {
	if cap(r.bad) < n {
		r.bad = make([]int32, n)
	}
	r.bad = r.bad[:n]
}

// check notes whether values, which belong to compact row i, are finite.
func (r *rows) check(i int, values []float32) {
	r.bad[i] = int32(quantkern.FirstNonFinite(values))
}

// fail records a NumericError with every sequence that has a value which is
// not finite and tells whether there was one. values gives compact row i.
func (r *rows) fail(stage, dev string, values func(i int) []float32) bool {
	failed := false
	for i, at := range r.bad {
		if at < 0 {
			continue
		}
		failed = true
		n := r.at[i]
		row := r.batch.Rows[n]
		kind := "Inf"
		if v := values(i)[at]; v != v {
			kind = "NaN"
		}
		r.batch.Fail(row.Seq, &device.NumericError{
			Stage: stage, Device: dev, Sequence: r.batch.Seqs[row.Seq].ID,
			Row: int(n), Pos: row.Pos, Index: int(at), Kind: kind,
		})
	}
	return failed
}

// checkShape compares activations with the batch that they came with.
func checkShape(b *device.Batch, h *hidden, width int) error {
	if h.rows != len(b.Rows) || h.width != width {
		return &device.BatchError{Reason: fmt.Sprintf("activations are [%d, %d], the part needs [%d, %d]", h.rows, h.width, len(b.Rows), width)}
	}
	return nil
}
