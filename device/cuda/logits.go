//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"sync/atomic"

	"tritflow/device"
)

// logits are the head's answers, in host memory.
type logits struct {
	vocab    int
	most     int       // candidates of the row that wants most
	wanted   []int32   // candidates to pick, per computed output
	computed []int32   // outputs to be answered
	noted    []uint32  // per computed output: what was not finite (kernels/common.cuh)
	answers  []answer  // one per Batch.Outputs entry
	whole    []float32 // the full rows
	released atomic.Bool
}

type answer struct {
	full []float32
	top  []device.Candidate
	err  error // of its sequence
}

var _ device.Logits = (*logits)(nil)

func newLogits(b *device.Batch, vocab int) *logits {
	l := &logits{vocab: vocab, answers: make([]answer, len(b.Outputs))}
	rows := 0
	for i, o := range b.Outputs {
		if b.Seqs[b.Rows[o.Row].Seq].Err != nil {
			continue
		}
		k := max(0, min(o.TopK, vocab))
		if o.Full || k > mostTop {
			rows++
		}
		if k > mostTop {
			k = 0
		}
		l.computed, l.wanted = append(l.computed, int32(i)), append(l.wanted, int32(k))
		l.most = max(l.most, k)
	}
	l.noted = make([]uint32, len(l.computed))
	if rows == 0 {
		return l
	}
	l.whole = make([]float32, rows*vocab)
	left := l.whole
	for _, o := range l.computed {
		if out := b.Outputs[o]; out.Full || min(out.TopK, vocab) > mostTop {
			l.answers[o].full, left = left[:vocab:vocab], left[vocab:]
		}
	}
	return l
}

// full is where the whole row of a computed output goes, nil where nobody wants it.
func (l *logits) full(i int) []float32 { return l.answers[l.computed[i]].full }

// take reads what a pass brought: noted, ids and logits, one after the other. entries are which
// of its answers; nil: all, in their order.
func (l *logits) take(words []int32, ps *pass, entries []int32) {
	ids, best := words[ps.n:], words[ps.n+ps.n*ps.most:]
	for i, o := range l.computed {
		e := entry(entries, i)
		l.noted[i] = uint32(words[e])
		k := int(l.wanted[i])
		if k == 0 {
			continue
		}
		top := make([]device.Candidate, k)
		for j := range top {
			top[j] = device.Candidate{ID: ids[e*ps.most+j], Logit: math.Float32frombits(uint32(best[e*ps.most+j]))}
		}
		l.answers[o].top = top
	}
}

// fail marks the sequences with values that were not finite: of all rows of a sequence that
// are answered, the first with the lowest stage tells which.
func (l *logits) fail(b *device.Batch, name string) {
	worst := map[int32]int{} // sequence to computed output
	for i, o := range l.computed {
		if l.noted[i] == fine {
			continue
		}
		seq := b.Rows[b.Outputs[o].Row].Seq
		if w, ok := worst[seq]; !ok || l.noted[i]>>21 < l.noted[w]>>21 {
			worst[seq] = i
		}
	}
	for seq, i := range worst {
		n := b.Outputs[l.computed[i]].Row
		word := l.noted[i]
		kind, stage := "NaN", "embed"
		if word&1 != 0 {
			kind = "Inf"
		}
		switch s := int(word >> 21); {
		case s == headStage:
			stage = "head"
		case s > 0:
			stage = fmt.Sprintf("blk.%d", s-1)
		}
		b.Fail(seq, &device.NumericError{
			Stage: stage, Device: name, Sequence: b.Seqs[seq].ID,
			Row: int(n), Pos: b.Rows[n].Pos, Index: int(word >> 1 & (1<<20 - 1)), Kind: kind,
		})
	}
	for i := range l.answers {
		l.answers[i].err = b.Seqs[b.Rows[b.Outputs[i].Row].Seq].Err
	}
}

// Row returns the answer for Outputs[i]; the error is that of a failed sequence, or a
// *device.BatchError for an i that was not asked for.
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

// Release lets the rows go; once is enough and more does no harm.
func (l *logits) Release() {
	if l.released.CompareAndSwap(false, true) {
		l.answers, l.whole = nil, nil
	}
}
