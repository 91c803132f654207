package batch

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"tritflow/cmd/tritflow/internal/batch/input"
	"tritflow/cmd/tritflow/internal/batch/journal"
	"tritflow/cmd/tritflow/internal/batch/openai"
)

// Answerer answers what lines ask for. It is called from many goroutines.
type Answerer interface {
	// Answer gives the output line of a call, or the fault that belongs to this
	// line and would meet every run. Any other error ends the job.
	Answer(ctx context.Context, c *openai.Call, k openai.Key) (Answer, *openai.Fault, error)
}

// Answer is what a call is answered with.
type Answer struct {
	Text  []byte // the output line
	Usage openai.Usage
	Draws [32]byte // digest of what was drawn, see stages.Result.Digest
}

// Work says how a job is run.
type Work struct {
	Source   input.Source
	JSON     bool // lines are requests, not prompts
	Chat     bool // prompts are messages of users
	Defaults openai.Defaults
	Answerer Answerer
	Workers  int // lines under way
	Window   int // lines that may be ahead of the output; 0 = 65536

	// Interrupt makes a Source that waits for input give up. It is called when no
	// more lines are wanted; may be nil.
	Interrupt func()

	Progress func(Progress) // called about twice a second by one goroutine; may be nil
}

const (
	defaultWindow = 1 << 16
	beat          = 500 * time.Millisecond
)

// run is one run of a job.
type run struct {
	job  *Job
	work Work
	ctx  context.Context // ends when nothing more is to be computed
	stop context.CancelCauseFunc

	jobs    chan task
	results chan result

	window  window
	digests pending
	reading readings
	began   time.Time
	start   Totals // when the run began

	readErr  error // of the reader; valid when results is closed
	complete bool  // the whole input was read
	writeErr error
}

// task is a line on its way to a worker.
type task struct {
	index int64
	line  int64
	key   openai.Key
	id    *string
	call  *openai.Call
	fault *openai.Fault
}

// result is a finished line.
type result struct {
	index  int64
	text   []byte
	usage  openai.Usage
	draws  [32]byte
	failed bool
}

// Run answers the lines that are not answered yet. When ctx ends no more are
// read; those under way are finished, and the error is ctx's cause. Whatever
// the error, nothing that was finished is lost, and the job can be opened again.
func (j *Job) Run(ctx context.Context, w Work) error {
	if w.Window == 0 {
		w.Window = defaultWindow
	}
	r := &run{
		job: j, work: w, began: time.Now(), start: j.totals,
		jobs: make(chan task, w.Workers), results: make(chan result, w.Workers),
		digests: pending{first: j.journal.Inputs()},
	}
	r.ctx, r.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	defer r.stop(nil)
	if w.Interrupt != nil {
		defer context.AfterFunc(ctx, w.Interrupt)()
		defer context.AfterFunc(r.ctx, w.Interrupt)()
	}
	r.window.init(j.order.next, int64(w.Window))
	early := map[int64]bool{}
	for i := range j.order.early {
		early[i] = true
	}

	var group, workers sync.WaitGroup
	group.Go(func() { r.read(ctx, early) })
	for range w.Workers {
		workers.Go(r.answer)
	}
	group.Go(func() {
		workers.Wait()
		close(r.results)
	})
	r.write()
	group.Wait()
	return r.end(ctx)
}

// end says how the run ended, and finishes the job if it is complete.
func (r *run) end(ctx context.Context) error {
	switch {
	case r.writeErr != nil:
		return r.writeErr
	case r.ctx.Err() != nil:
		return context.Cause(r.ctx)
	case ctx.Err() != nil && !r.complete:
		return context.Cause(ctx)
	case r.readErr != nil:
		return r.readErr
	}
	return r.job.finish(r.digests.take())
}

// finish makes a complete job a finished one.
func (j *Job) finish(rest []journal.Digest) error {
	if err := j.journal.AddInputs(rest); err != nil {
		return err
	}
	if err := j.out.sync(); err != nil {
		return err
	}
	input, err := j.journal.InputDigest()
	if err != nil {
		return err
	}
	j.done = done{j.totals, j.out.off, j.out.digest(), input, j.order.digest()}
	totals, err := json.Marshal(j.done)
	if err != nil {
		return err
	}
	if err := j.journal.Finish(totals); err != nil {
		return err
	}
	j.finished = true
	// Nothing is lost when this fails; the journal only stays large.
	j.bulky = j.journal.Compact(j.header, totals)
	j.journal = nil // Compact has closed it
	return nil
}

// answer is a worker.
func (r *run) answer() {
	for t := range r.jobs {
		if r.ctx.Err() != nil {
			continue
		}
		res, err := r.one(&t)
		if err != nil {
			r.stop(err)
			continue
		}
		r.results <- res // the writer takes results to the end
	}
}

// one answers a line.
func (r *run) one(t *task) (res result, err error) {
	res.index = t.index
	if t.fault == nil {
		var a Answer
		a, t.fault, err = r.work.Answerer.Answer(r.ctx, t.call, t.key)
		res.text, res.usage, res.draws = a.Text, a.Usage, a.Draws
	}
	if err == nil && t.fault != nil {
		res.failed, res.usage, res.draws = true, openai.Usage{}, [32]byte{}
		res.text, err = t.fault.Line(t.key, t.id, t.line)
	}
	if err != nil && r.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = context.Cause(r.ctx)
	}
	return res, err
}
