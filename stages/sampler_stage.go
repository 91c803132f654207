package stages

import (
	"context"
	"time"

	"tritflow/device"
)

// sampleStage is the name of the last stage, hostDevice where it works.
const (
	sampleStage = "sample"
	hostDevice  = "host"
)

// sampleWork lets every sequence of a step consume its logits. A sequence that
// cannot fails alone.
func sampleWork(_ context.Context, s *step, done device.Worked) error {
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
