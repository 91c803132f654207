package cpu

import (
	"fmt"
	"sync/atomic"

	"tritflow/device"
)

// logits are the head's answers in host memory.
type logits struct {
	home     *pool
	data     []float32 // [len(computed), vocab]
	vocab    int
	answers  []answer // one per Batch.Outputs entry
	computed []int32  // output of each row of data
	released atomic.Bool
}

// answer is what one output gets.
type answer struct {
	full []float32
	top  []device.Candidate
	err  error // of its sequence
}

var _ device.Logits = (*logits)(nil)

// newLogits makes room for the outputs of sequences that have not failed.
func newLogits(home *pool, b *device.Batch, vocab int) *logits {
	l := &logits{home: home, vocab: vocab, answers: make([]answer, len(b.Outputs))}
	candidates := 0
	for i, o := range b.Outputs {
		if b.Seqs[b.Rows[o.Row].Seq].Err == nil {
			l.computed = append(l.computed, int32(i))
			candidates += clampTop(o.TopK, vocab)
		}
	}
	l.data = home.get(len(l.computed) * vocab)
	top := make([]device.Candidate, candidates)
	for i, output := range l.computed {
		o, a := b.Outputs[output], &l.answers[output]
		k := clampTop(o.TopK, vocab)
		a.top, top = top[:k:k], top[k:]
		if o.Full {
			a.full = l.data[i*vocab : (i+1)*vocab : (i+1)*vocab]
		}
	}
	return l
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

// Release gives the buffer back; once is enough and more does no harm.
func (l *logits) Release() {
	if l.released.CompareAndSwap(false, true) {
		l.home.put(l.data)
		l.data, l.answers = nil, nil
	}
}
