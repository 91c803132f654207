package stages

import (
	"context"
	"errors"
	"sync"
	"time"

	"tritflow/device"
	"tritflow/stages/trace"
)

// channelCap is the capacity of the channels between stages.
const channelCap = 1

// work is what a stage does with a step; done is told when the device worked.
type work func(ctx context.Context, s *step, done device.Worked) error

// stage is a goroutine that owns one part of the model.
type stage struct {
	name    string
	device  string
	replica int
	track   int
	work    work
	span    struct{ enter, leave span }
	in      <-chan *step
	out     chan *step
	rec     *trace.Recorder

	mu      sync.Mutex
	stats   StageStats
	waiting *time.Duration // of stats, where the stage waits at the moment
	since   time.Time      // when it began to
	idle    []*visit
}

// visit is a stage's work on a step until its device has finished, which may be
// after the step went on. It is used again then, so that a step costs no
// allocation.
type visit struct {
	stage    *stage
	done     device.Worked // finished, bound once
	id       uint64
	rows     int
	requests []uint64 // for a trace
	started  time.Time
}

func newStage(sp spec, replica, track int, in <-chan *step, rec *trace.Recorder) *stage {
	g := &stage{
		name: sp.name, device: sp.device, replica: replica, track: track, work: sp.work,
		in: in, out: make(chan *step, channelCap), rec: rec,
	}
	g.span.enter, g.span.leave = sp.enter, sp.leave
	return g
}

// embedWork turns tokens into activations.
func embedWork(p device.Embed) work {
	return func(ctx context.Context, s *step, done device.Worked) error {
		x, err := p.Forward(ctx, &s.batch, done)
		if err != nil {
			return err
		}
		s.hidden = x
		return nil
	}
}

// blocksWork takes activations to their device and through its blocks.
func blocksWork(d device.Device, p device.Blocks) work {
	return func(ctx context.Context, s *step, done device.Worked) error {
		x, err := d.Import(ctx, s.takeHidden())
		if err != nil {
			return err
		}
		if x, err = p.Forward(ctx, &s.batch, x, done); err != nil {
			return err
		}
		s.hidden = x
		return nil
	}
}

// headWork turns activations into logits, where any are asked for.
func headWork(d device.Device, p device.Head) work {
	return func(ctx context.Context, s *step, done device.Worked) error {
		if len(s.batch.Outputs) == 0 {
			s.drop()
			return nil
		}
		x, err := d.Import(ctx, s.takeHidden())
		if err != nil {
			return err
		}
		l, err := p.Forward(ctx, &s.batch, x, done)
		if err != nil {
			return err
		}
		s.logits = l
		return nil
	}
}

// run passes steps on until the input ends, then ends the output. A failed
// step goes on to the scheduler like any other. After a panic, which fail
// hears of, the stage only passes steps on, so that the pipeline can empty.
func (g *stage) run(ctx context.Context, fail func(error)) error {
	defer close(g.out)
	var broken error
	for {
		queued := len(g.in)
		g.waits(&g.stats.Starved)
		s, ok := <-g.in
		g.goesOn()
		if !ok {
			return broken
		}
		g.received(max(queued, 1), len(s.batch.Rows))
		if g.span.enter != nil {
			g.waits(&g.stats.DeviceWait)
			g.span.enter <- struct{}{} // the Step in it passes through whatever becomes of it
			g.goesOn()
		}
		if s.err == nil {
			s.err = broken
		}
		alive := s.err == nil && s.cull()
		if alive {
			if s.err = g.do(ctx, s); s.err != nil && isPanic(s.err) {
				broken = s.err
				fail(broken)
			}
		}
		if s.err != nil || !alive {
			s.drop()
		}
		if g.span.leave != nil {
			<-g.span.leave
		}
		g.waits(&g.stats.Blocked)
		g.out <- s
		g.goesOn()
	}
}

// do runs the stage's work on a step. Errors name the stage.
func (g *stage) do(ctx context.Context, s *step) error {
	v := g.begin()
	v.id, v.rows, v.requests, v.started = s.id, len(s.batch.Rows), nil, time.Now()
	if g.rec != nil {
		v.requests = s.requests()
	}
	if err := g.perform(ctx, s, v.done); err != nil {
		return &StageError{Stage: g.name, Device: g.device, Err: err}
	}
	return nil
}

func (g *stage) perform(ctx context.Context, s *step, done device.Worked) (err error) {
	defer caught(g.name, &err)
	return g.work(ctx, s, done)
}

// begin gives a visit that has finished, or a new one.
func (g *stage) begin() *visit {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last := len(g.idle) - 1; last >= 0 {
		v := g.idle[last]
		g.idle = g.idle[:last]
		return v
	}
	v := &visit{stage: g}
	v.done = v.finished
	return v
}

// finished hears that the device has worked on the step.
func (v *visit) finished(start, end time.Time) {
	g := v.stage
	g.rec.Work(g.track, start, end, v.id, g.device, v.requests, v.rows)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.DeviceWait += max(start.Sub(v.started), 0)
	g.stats.Busy += end.Sub(start)
	g.idle = append(g.idle, v)
}

func isPanic(err error) bool {
	_, is := errors.AsType[*PanicError](err)
	return is
}

// waits notes that the stage begins to wait, and which of its times that is.
func (g *stage) waits(what *time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting, g.since = what, time.Now()
}

// goesOn ends what waits began.
func (g *stage) goesOn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	*g.waiting += time.Since(g.since)
	g.waiting = nil
}

func (g *stage) received(depth, rows int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stats.QueueMax = max(g.stats.QueueMax, depth)
	g.stats.Steps++
	g.stats.Rows += uint64(rows)
}

// snapshot reads the counters; a wait that lasts is counted up to now.
func (g *stage) snapshot(started time.Time) StageStats {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := time.Duration(0)
	now := time.Now()
	if g.waiting != nil {
		before = *g.waiting
		*g.waiting += now.Sub(g.since)
	}
	s := g.stats
	if g.waiting != nil {
		*g.waiting = before
	}
	s.Name, s.Device, s.Replica, s.QueueCap = g.name, g.device, g.replica, cap(g.in)
	s.Queue = len(g.in)
	s.Elapsed = now.Sub(started)
	s.Shares = s.shares()
	return s
}
