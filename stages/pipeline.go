package stages

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tritflow/stages/trace"
)

// limits are the sizes of a pipeline.
type limits struct {
	ctx      int // positions a sequence may have
	pageSize int // positions a KV page
	pages    int // KV pages a block
	maxSeqs  int // sequences alive at once
	queue    int // requests that may wait
	chunk    int // rows a step may carry
	waves    int // steps in flight
	outputs  int // full rows of logits a step may ask for
	tokens   int // tokens that a consumer may be behind
}

// spec describes a stage before it runs.
type spec struct {
	name   string
	device string
	work   work
}

// pipeline is the ring: stages, scheduler and the requests on their way in.
type pipeline struct {
	limits limits
	gauges gauges
	stages []*stage
	group  errgroup.Group // owns every goroutine

	run   context.Context // ends when everything is to be aborted
	abort context.CancelCauseFunc

	ids  atomic.Uint64
	room chan struct{} // one entry for every waiting request
	wake chan struct{} // the scheduler is to look again

	mu      sync.Mutex
	arrived []*sequence // submitted, not yet seen by the scheduler
	refuse  error       // why no more are taken; nil = they are

	closing context.Context // ends when requests are refused
	close   context.CancelFunc
}

// start makes the stages' goroutines, the sample stage and the scheduler.
func start(specs []spec, lim limits, rec *trace.Recorder) *pipeline {
	p := &pipeline{
		limits: lim,
		room:   make(chan struct{}, lim.queue),
		wake:   make(chan struct{}, 1),
	}
	p.run, p.abort = context.WithCancelCause(context.Background())
	p.closing, p.close = context.WithCancel(context.Background())
	specs = append(specs[:len(specs):len(specs)], spec{sampleStage, hostDevice, sampleWork})

	first := make(chan *step, channelCap)
	in := (<-chan *step)(first)
	for i, sp := range specs {
		g := &stage{
			name: sp.name, device: sp.device, track: i, work: sp.work,
			in: in, out: make(chan *step, channelCap), rec: rec,
		}
		rec.Stage(i, sp.name, sp.device)
		p.stages = append(p.stages, g)
		p.group.Go(func() error { return g.run(p.run, p.fail) })
		in = g.out
	}
	s := &scheduler{
		p: p, limits: lim, gauges: &p.gauges,
		out: first, back: in, pages: newPages(lim.pages, lim.pageSize),
	}
	p.group.Go(s.run)
	return p
}

// submit hands a sequence to the scheduler. While the queue is full it waits,
// or fails with ErrBusy when wait is false.
func (p *pipeline) submit(q *sequence, wait bool) error {
	select {
	case p.room <- struct{}{}:
	default:
		if !wait {
			return ErrBusy
		}
		select {
		case p.room <- struct{}{}:
		case <-q.ctx.Done():
			return context.Cause(q.ctx)
		case <-p.closing.Done():
			return p.refusal()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		<-p.room
		return p.refuse
	}
	q.id = p.ids.Add(1)
	p.arrived = append(p.arrived, q)
	p.poke()
	return nil
}

// take gives the scheduler what has arrived, and whether that was the last.
func (p *pipeline) take() (arrived []*sequence, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	arrived, p.arrived = p.arrived, nil
	return arrived, p.refuse != nil
}

func (p *pipeline) refusal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuse
}

// poke makes the scheduler look again; it never waits.
func (p *pipeline) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// stop refuses new requests with err from now on; the first one stays.
func (p *pipeline) stop(err error) {
	p.mu.Lock()
	if p.refuse == nil {
		p.refuse = err
	}
	p.mu.Unlock()
	p.close()
	p.poke()
}

// fail ends everything because a goroutine of the pipeline panicked.
func (p *pipeline) fail(err error) {
	p.stop(err)
	p.abort(err)
	p.poke()
}

// shutdown lets the running requests finish. When ctx ends before they have,
// they are aborted and its cause is returned. It waits for every goroutine.
func (p *pipeline) shutdown(ctx context.Context) error {
	p.stop(ErrShutdown)
	unhook := context.AfterFunc(ctx, func() {
		p.abort(ErrShutdown)
		p.poke()
	})
	err := p.group.Wait()
	if !unhook() {
		err = errors.Join(err, context.Cause(ctx))
	}
	p.abort(ErrShutdown) // frees the context of a pipeline that ended by itself
	return err
}

// kill aborts everything and waits for every goroutine.
func (p *pipeline) kill() error {
	p.stop(ErrShutdown)
	p.abort(ErrShutdown)
	p.poke()
	return p.group.Wait()
}
