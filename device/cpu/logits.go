package cpu

import (
	"fmt"
	"sync/atomic"

	"tritflow/device"
)

// logits are the head's answers in host memory.
type logits struct {
	home     *pool
	data     []float32 // [rows that the full head answers, vocab]
	vocab    int
	answers  []answer           // one per Batch.Outputs entry
	computed []int32            // outputs to be answered: the compact rows
	top      []device.Candidate // of all answers
	released atomic.Bool
}

// answer is what one output gets.
type answer struct {
	full      []float32
	wantsFull bool
	top       []device.Candidate
	err       error // of its sequence
}

var _ device.Logits = (*logits)(nil)

// newLogits makes room for the candidates of the outputs of sequences that
// have not failed.
func newLogits(home *pool, b *device.Batch, vocab int) *logits {
	l := reuse(home, &home.logits)
	l.home, l.vocab = home, vocab
	l.answers, l.computed = resized(l.answers, len(b.Outputs)), l.computed[:0]
	clear(l.answers)
	l.released.Store(false)
	candidates := 0
	for i, o := range b.Outputs {
		if b.Seqs[b.Rows[o.Row].Seq].Err == nil {
			l.computed = append(l.computed, int32(i))
			candidates += clampTop(o.TopK, vocab)
		}
	}
	l.top = resized(l.top, candidates)
	top := l.top
	for _, output := range l.computed {
		o, a := b.Outputs[output], &l.answers[output]
		k := clampTop(o.TopK, vocab)
		a.top, top = top[:k:k], top[k:]
		a.wantsFull = o.Full
	}
	return l
}

// room makes room for the whole rows of the given compact rows.
func (l *logits) room(rows []int32) {
	l.data = l.home.get(len(rows) * l.vocab)
	for j, i := range rows {
		if a := &l.answers[l.computed[i]]; a.wantsFull {
			a.full = l.row(j)
		}
	}
}

// row is row j of data.
func (l *logits) row(j int) []float32 {
	return l.data[j*l.vocab : (j+1)*l.vocab : (j+1)*l.vocab]
}

func clampTop(k, vocab int) int { return max(0, min(k, vocab)) }

// Row returns the answer for Outputs[i]; the error is that of a failed
// sequence, or a *device.BatchError for an i that was not asked for.
func (l *logits) Row(i int) (device.Scores, error) {
	switch {
	case l.released.Load():
		return device.Scores{}, &device.BatchError{Reason: "logits read after they were released"}
	case i < 0 || i >= len(l.answers):
		return device.Scores{}, &device.BatchError{Reason: fmt.Sprintf("logits of output %d of %d", i, len(l.answers))}
	}
	a := &l.answers[i]
	if a.err != nil {
		return device.Scores{}, a.err
	}
	return device.Scores{Full: a.full, Top: a.top}, nil
}

// Release gives buffer and handle back to the pool they came from; once is
// enough, and more before the device's next batch does no harm.
func (l *logits) Release() {
	if l.released.CompareAndSwap(false, true) {
		if l.data != nil {
			l.home.put(l.data)
		}
		l.data = nil
		keep(l.home, &l.home.logits, l)
	}
}
