package stages

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tritflow/stages/trace"
)

// limits are the sizes of a pipeline; those of pages, sequences and steps are
// of each of its rings.
type limits struct {
	ctx      int  // positions a sequence may have
	pageSize int  // positions a KV page
	pages    int  // KV pages a block
	maxSeqs  int  // sequences alive at once
	queue    int  // requests that may wait
	chunk    int  // rows a step may carry
	waves    int  // steps in flight
	outputs  int  // full rows of logits a step may ask for
	tokens   int  // tokens that a consumer may be behind
	share    bool // prefixes are computed once
	ahead    bool // devices are told of the step after (see scheduler.foresee)
}

// spec describes a stage before it runs.
type spec struct {
	name   string
	device string
	work   work

	// A span is the consecutive stages of one device. A Step has it for itself
	// from the first (enter) to the last (leave): two Steps that took turns in
	// it would go through it at half the speed and come out together, and then
	// every device would wait for the one that both are on.
	enter, leave span
}

// span holds a token while a Step is in it; nil where none begins or ends.
type span chan struct{}

// pipeline is one ring of stages, or several equal ones (replicas), behind one
// queue of requests.
type pipeline struct {
	queue
	limits  limits
	rings   []*ring
	group   errgroup.Group // owns every goroutine
	started time.Time

	run   context.Context // ends when everything is to be aborted
	abort context.CancelCauseFunc

	closing context.Context // ends when requests are refused
	refuse  context.CancelFunc

	ids  atomic.Uint64
	gone atomic.Bool // the context of a request that may wait has ended
}

// ring is the stages of one replica and what its scheduler shows.
type ring struct {
	stages []*stage
	gauges gauges
	wake   chan struct{} // its scheduler is to look again
}

// start makes the stages' goroutines and the schedulers; specs are the stages of
// each ring but the last, in which every sequence consumes its answers and which is called last.
func start(specs [][]spec, last string, lim limits, rec *trace.Recorder) *pipeline {
	p := &pipeline{limits: lim, queue: queue{room: make(chan struct{}, lim.queue)}, started: time.Now()}
	p.run, p.abort = context.WithCancelCause(context.Background())
	p.closing, p.refuse = context.WithCancel(context.Background())
	for range specs {
		p.rings = append(p.rings, &ring{wake: make(chan struct{}, 1)})
	}
	track := 0
	for i, r := range p.rings {
		list := slices.Concat(specs[i], []spec{{name: last, device: hostDevice, work: consumeWork}})
		first := make(chan *step, channelCap)
		in := (<-chan *step)(first)
		for _, sp := range list {
			g := newStage(sp, i, track, in, rec)
			rec.Stage(track, sp.name, sp.device)
			r.stages = append(r.stages, g)
			p.group.Go(func() error { return g.run(p.run, p.fail) })
			in = g.out
			track++
		}
		s := &scheduler{
			p: p, ring: r, limits: lim, out: first, back: in,
			cache: newKVCache(lim.pages, lim.pageSize, lim.share),
		}
		p.group.Go(s.run)
	}
	return p
}

// submit hands a sequence to the schedulers. While the queue is full it waits,
// or fails with ErrBusy when wait is false.
func (p *pipeline) submit(q *sequence, wait bool) error {
	if err := p.enter(q.ctx, p.closing, wait); err != nil {
		return err
	}
	if err := p.put(q, func() uint64 { return p.ids.Add(1) }); err != nil {
		return err
	}
	if q.ctx.Err() != nil { // a scheduler may have looked for it before it was there
		p.gone.Store(true)
	}
	p.poke()
	return nil
}

// poke makes the schedulers look again; it never waits.
func (p *pipeline) poke() {
	for _, r := range p.rings {
		r.poke()
	}
}

func (r *ring) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// ended is told when the context of a request has ended.
func (p *pipeline) ended() {
	p.gone.Store(true)
	p.poke()
}

// stop refuses new requests with err from now on; the first one stays.
func (p *pipeline) stop(err error) {
	p.close(err)
	p.refuse()
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
