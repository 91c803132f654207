package stages

import (
	"context"

	"tritflow/device"
)

// step is the message between stages: rows of several sequences, their
// activations on the device where they are now, and what must be answered.
// The goroutine that received it last owns it.
type step struct {
	id     uint64
	batch  device.Batch
	parts  []part // parallel to batch.Seqs
	hidden device.Hidden
	logits device.Logits
	err    error // the whole step failed
}

// part is what a step holds of one sequence.
type part struct {
	seq    *sequence
	lo, hi int // its entries of batch.Outputs
	answer answer
}

// add appends n rows of a sequence, with an output for the last row or for all.
func (s *step) add(q *sequence, n int) {
	index, first := int32(len(s.parts)), len(s.batch.Rows)
	p := part{seq: q, lo: len(s.batch.Outputs)}
	for i := range n {
		pos := q.fed + i
		row := int32(len(s.batch.Rows))
		s.batch.Rows = append(s.batch.Rows, device.Row{Seq: index, Pos: int32(pos), Token: q.tokens[pos]})
		if q.answers(pos) {
			s.batch.Outputs = append(s.batch.Outputs, q.task.output(row))
		}
	}
	p.hi = len(s.batch.Outputs)
	s.parts = append(s.parts, p)
	s.batch.Seqs = append(s.batch.Seqs, device.Seq{ID: q.id, First: first, N: n, Pages: q.pages})
}

// upto is the position after the rows that the step holds of a sequence.
func (s *step) upto(seq int) int {
	b := &s.batch.Seqs[seq]
	return int(s.batch.Rows[b.First+b.N-1].Pos) + 1
}

// reset empties a step that came back, whose lists are used again.
func (s *step) reset() *step {
	s.drop()
	clear(s.parts)
	clear(s.batch.Seqs)
	*s = step{
		batch: device.Batch{Rows: s.batch.Rows[:0], Seqs: s.batch.Seqs[:0], Outputs: s.batch.Outputs[:0]},
		parts: s.parts[:0],
	}
	return s
}

// cull marks the sequences whose requests have ended as failed and says
// whether any is left to work for.
func (s *step) cull() bool {
	alive := false
	for i := range s.parts {
		if s.batch.Seqs[i].Err == nil && s.parts[i].seq.ctx.Err() != nil {
			s.batch.Fail(int32(i), context.Cause(s.parts[i].seq.ctx))
		}
		alive = alive || s.batch.Seqs[i].Err == nil
	}
	return alive
}

// drop releases what the step holds on devices.
func (s *step) drop() {
	if h := s.takeHidden(); h != nil {
		h.Release()
	}
	if s.logits != nil {
		s.logits.Release()
		s.logits = nil
	}
}

// takeHidden hands the activations over, to a part that then owns them.
func (s *step) takeHidden() device.Hidden {
	h := s.hidden
	s.hidden = nil
	return h
}

// requests lists the sequences, for a trace.
func (s *step) requests() []uint64 {
	ids := make([]uint64, len(s.parts))
	for i, p := range s.parts {
		ids[i] = p.seq.id
	}
	return ids
}
