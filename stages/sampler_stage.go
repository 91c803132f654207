package stages

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

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
	if s.large() > 1 {
		if err := s.consumeTogether(); err != nil {
			return err
		}
	} else {
		for i := range s.parts {
			s.consume(i)
		}
	}
	s.drop()
	done(start, time.Now())
	return nil
}

// large is how many sequences look at all logits. From a large vocabulary that takes a
// millisecond or two, a draw from a few candidates next to nothing.
func (s *step) large() int {
	n := 0
	for i := range s.parts {
		if p := &s.parts[i]; p.lo < p.hi && s.batch.Outputs[p.lo].Full {
			n++
		}
	}
	return n
}

// consumeTogether has the sequences consume on all processors. Failures are the sequences'
// own; the error is that of a panic, which would end the program on these goroutines.
func (s *step) consumeTogether() error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range s.parts {
		group.Go(func() error {
			return catch(sampleStage, func() error {
				s.consume(i)
				return nil
			})
		})
	}
	return group.Wait()
}

// consume lets one sequence consume what it was answered.
func (s *step) consume(i int) {
	p := &s.parts[i]
	if p.lo == p.hi || s.batch.Seqs[i].Err != nil {
		return
	}
	var err error
	if p.answer, err = p.seq.task.consume(s.logits, p.lo, p.hi); err != nil {
		s.batch.Fail(int32(i), err)
	}
}
