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
	// besides those under way; handing one over (err is nil where the sequence
	// goes on or ended well); and the end.
	room(underWay int) bool
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
}

// sequence is a request's live state. The scheduler owns it; ctx and id may be
// read by anybody.
type sequence struct {
	id      uint64
	ctx     context.Context // ends when the request is cancelled or out of time
	cancel  context.CancelCauseFunc
	release func() // frees what hangs on ctx
	task    task
	prompt  []int32
	limit   int // positions it can come to hold
	maxRows int // rows of one step; 0 = no bound of its own

	pages    []int32 // nil while it waits
	fed      int     // positions handed to steps so far
	next     int32   // token to feed next, when ready
	ready    bool
	underWay int    // steps in flight that carry it
	served   uint64 // number of the last step that took it
	started  time.Time
	err      error  // why it ends early
	done     Finish // how it ended, "" = alive
	closed   bool   // its task heard of the end
}

// newSequence makes the state of a request whose context is parent; onEnd is
// called from another goroutine when that ends.
func newSequence(parent context.Context, timeout time.Duration, onEnd func()) *sequence {
	ctx, cancel := context.WithCancelCause(parent)
	stopTimer := func() {}
	if timeout > 0 {
		cause := fmt.Errorf("stages: request not finished within its timeout of %v: %w", timeout, context.DeadlineExceeded)
		ctx, stopTimer = context.WithTimeoutCause(ctx, timeout, cause)
	}
	stop := context.AfterFunc(ctx, onEnd)
	return &sequence{
		ctx: ctx, cancel: cancel,
		release: func() {
			stop()
			stopTimer()
			cancel(nil)
		},
	}
}

// pending is how many rows could be fed now: the rest of the prompt, or the
// token that was drawn last.
func (q *sequence) pending() int {
	switch {
	case q.err != nil || q.done != "":
		return 0
	case q.fed < len(q.prompt):
		return len(q.prompt) - q.fed
	case q.ready:
		return 1
	default:
		return 0
	}
}

// over says whether it has ended and nothing of it is under way.
func (q *sequence) over() bool {
	return q.underWay == 0 && (q.err != nil || q.done != "")
}

// token is the one at a position that is to be fed.
func (q *sequence) token(pos int) int32 {
	if pos < len(q.prompt) {
		return q.prompt[pos]
	}
	return q.next
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

// finish says how the sequence ended and with which error.
func (q *sequence) finish() (Finish, error) {
	switch {
	case q.err == nil:
		return q.done, nil
	case errors.Is(q.err, context.DeadlineExceeded):
		return FinishTimeout, q.err
	case errors.Is(q.err, context.Canceled):
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
