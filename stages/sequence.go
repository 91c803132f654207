package stages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tritflow/device"
)

// task is what a sequence's logits are for: an answer (generation) or the
// logits themselves (probe).
type task interface {
	// output says what the head must answer for a row; every whether all rows
	// of the prompt need an answer or its last alone.
	output(row int32) device.Output
	every() bool

	// consume runs in the sample stage and turns the head's answers
	// [lo, hi) of a step into one answer.
	consume(l device.Logits, lo, hi int) (answer, error)

	// The rest runs in the scheduler: whether another answer would find room
	// besides those under way; whether the consumer has read all, and none is
	// owed; handing one over (err is nil where the sequence goes on or ended well); and the end.
	room(underWay int) bool
	drained(owed int) bool
	deliver(a answer)
	end(f Finish, err error)
}

// answer is what a step brought one sequence. The zero value is that of a step
// which only read a part of the prompt.
type answer struct {
	token Token     // of a generation
	emit  bool      // token is to be handed out
	more  bool      // token.ID is to be fed in next
	rows  []float32 // of a probe
	done  Finish    // not "": the sequence has ended
	drawn Drawn     // of a generation
}

// sequence is a request's live state. The scheduler owns it; ctx and id may be
// read by anybody.
type sequence struct {
	id       uint64
	caller   context.Context
	ctx      context.Context // of caller's; ends when the request is cancelled or out of time
	cancel   context.CancelCauseFunc
	release  func() // frees what hangs on ctx
	task     task
	prompt   int     // tokens of the prompt
	tokens   []int32 // the prompt and what was drawn
	limit    int     // positions it can come to hold
	maxRows  int     // rows of one step; 0 = no bound of its own
	priority int
	deadline time.Time // zero = none

	holding
	fed      int    // positions handed to steps, or taken over from the cache
	most     int    // the largest fed: rows before it are computed again
	asked    int    // positions before it were asked for, where all rows are answered
	underWay int    // steps in flight that carry it
	owed     int    // answers that came back and were not handed out
	served   uint64 // number of the last step that took it
	leaving  bool   // is to be preempted when nothing is under way
	parked   bool   // was preempted
	overtook int    // requests that were admitted before it and came after it
	reused   int    // positions taken over from the cache instead of being computed at all
	started  time.Time
	lost     bool   // rows that a step failed to compute: those behind them saw pages that lack them
	err      error  // why it ends early
	left     error  // where the caller's context was why: its error, which the cause may not match
	done     Finish // how it ended, "" = alive
	closed   bool   // its task heard of the end
}

// bounds are what ends or orders a request besides its context.
type bounds struct {
	timeout  time.Duration // 0 = none
	deadline time.Time     // zero = none
	priority int
}

// newSequence makes the state of a request whose context is parent; onEnd is
// called from another goroutine when that ends.
func newSequence(parent context.Context, b bounds, onEnd func()) *sequence {
	ctx, cancel := context.WithCancelCause(parent)
	var releases []func()
	if b.timeout > 0 {
		cause := fmt.Errorf("stages: request not finished within its timeout of %v: %w", b.timeout, context.DeadlineExceeded)
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, b.timeout, cause)
		releases = append(releases, stop)
	}
	if !b.deadline.IsZero() {
		cause := fmt.Errorf("stages: request not finished before its deadline of %s: %w", b.deadline.Format(time.RFC3339), context.DeadlineExceeded)
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, b.deadline, cause)
		releases = append(releases, stop)
	}
	unhook := context.AfterFunc(ctx, onEnd)
	return &sequence{
		caller: parent, ctx: ctx, cancel: cancel, priority: b.priority, deadline: b.deadline,
		release: func() {
			unhook()
			for _, stop := range releases {
				stop()
			}
			cancel(nil)
		},
	}
}

// begin gives the sequence what it works on.
func (q *sequence) begin(t task, prompt []int32, limit int) {
	q.task, q.tokens, q.prompt, q.limit = t, prompt, len(prompt), limit
	// Somebody wants the logits of every position, so none may be left out.
	q.private = t.every()
}

// before orders requests by what matters more: that it was overtaken too often,
// a higher priority, an earlier deadline, an earlier arrival.
func (q *sequence) before(o *sequence) bool {
	switch {
	case q.patient() != o.patient():
		return q.patient()
	case q.priority != o.priority:
		return q.priority > o.priority
	case q.deadline.Equal(o.deadline):
		return q.id < o.id
	case q.deadline.IsZero() || o.deadline.IsZero():
		return o.deadline.IsZero()
	default:
		return q.deadline.Before(o.deadline)
	}
}

// patient says that enough later requests were admitted before it.
func (q *sequence) patient() bool { return q.overtook >= mostOvertaken }

// pending is how many rows could be fed now: tokens that are known and not yet
// in the pages.
func (q *sequence) pending() int {
	if q.err != nil || q.done != "" || q.leaving {
		return 0
	}
	return len(q.tokens) - q.fed
}

// answers says whether the row at a position that is to be fed needs logits:
// that of the last token, or each one for a task that wants them all. What was
// asked before is not asked again.
func (q *sequence) answers(pos int) bool {
	if q.task.every() {
		return pos >= q.asked
	}
	return pos == len(q.tokens)-1
}

// room says whether the consumer could take one more answer than those that
// will come.
func (q *sequence) room() bool { return q.task.room(q.underWay + q.owed) }

// stalled says that it could go on if its consumer read.
func (q *sequence) stalled() bool { return q.underWay == 0 && q.pending() > 0 && !q.room() }

// lapse ends the sequence because its context has ended.
func (q *sequence) lapse() { q.err, q.left = context.Cause(q.ctx), q.caller.Err() }

// over says whether it has ended and nothing of it is under way.
func (q *sequence) over() bool {
	return q.underWay == 0 && (q.err != nil || q.done != "")
}

// close tells the task of the end, once, and lets go of the context.
func (q *sequence) close(f Finish, err error) {
	if q.closed {
		return
	}
	q.closed = true
	defer q.release()
	q.task.end(f, err)
}

// leave, deferred by a loop over its answers, cancels the sequence unless the loop has
// seen them all: also where the consumer's body panics, or its goroutine ends there.
func (q *sequence) leave(over *bool) {
	if !*over {
		q.cancel(errBrokenOff)
	}
}

// finish says how the sequence ended and with which error.
func (q *sequence) finish() (Finish, error) {
	switch {
	case q.err == nil:
		return q.done, nil
	case errors.Is(q.err, context.DeadlineExceeded):
		return FinishTimeout, q.err
	case errors.Is(q.err, context.Canceled):
		return FinishCancelled, q.err
	case errors.Is(q.left, context.DeadlineExceeded):
		return FinishTimeout, q.err
	case q.left != nil:
		return FinishCancelled, q.err
	default:
		return FinishError, q.err
	}
}

// began notes when its first row went in.
func (q *sequence) began() {
	if q.started.IsZero() {
		q.started = time.Now()
	}
}
