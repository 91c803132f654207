package stages

import (
	"context"
	"time"

	"tritflow/device"
)

// sampleStage is the name of the last stage of a model that answers, hostDevice where it works.
const (
	sampleStage = "sample"
	hostDevice  = "host"
)

// consumeWork lets every sequence of a step consume what the head answered. A sequence that
// cannot fails alone.
func consumeWork(_ context.Context, s *step, done device.Worked) error {
	if s.logits == nil {
		return nil
	}
	start := time.Now()
	for i := range s.parts {
		p := &s.parts[i]
		if p.lo == p.hi || s.batch.Seqs[i].Err != nil {
			continue
		}
		var err error
		if p.answer, err = p.seq.task.consume(s.logits, p.lo, p.hi); err != nil {
			s.batch.Fail(int32(i), err)
		}
	}
	s.drop()
	done(start, time.Now())
	return nil
}
