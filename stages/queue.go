package stages

import (
	"context"
	"slices"
	"sync"
)

// mostOvertaken is how many requests that came later may be admitted before a
// request that waits, whatever their priorities. Then it goes first and keeps
// its place: no one waits for ever.
const mostOvertaken = 64

// queue holds the requests that wait for a place in a ring. All rings take from
// it; it is safe for concurrent use.
type queue struct {
	room chan struct{} // one entry for every request that waits

	mu      sync.Mutex
	waiting []*sequence // in order of arrival
	refuse  error       // why no more are taken; nil = they are
}

// put adds a sequence for which there is room, unless requests are refused.
func (w *queue) put(q *sequence, id func() uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		<-w.room
		return w.refuse
	}
	q.id = id()
	w.waiting = append(w.waiting, q)
	return nil
}

// reasonToRefuse is why no more requests are taken, or nil.
func (w *queue) reasonToRefuse() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refuse
}

// close refuses requests with err from now on; the first reason stays.
func (w *queue) close(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse == nil {
		w.refuse = err
	}
}

// dry says that nobody waits and nobody will.
func (w *queue) dry() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refuse != nil && len(w.waiting) == 0
}

func (w *queue) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// next gives the request whose turn it is to take, which decides: false leaves
// it where it is. Nothing overtakes one that take refused.
func (w *queue) next(take func(q *sequence) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.first()
	if first < 0 || !take(w.waiting[first]) {
		return
	}
	for _, q := range w.waiting[:first] {
		q.overtook++
	}
	w.waiting = slices.Delete(w.waiting, first, first+1)
	<-w.room
}

// first is the index of the one that matters most, -1 without any.
func (w *queue) first() int {
	first := -1
	for i, q := range w.waiting {
		if first < 0 || q.before(w.waiting[first]) {
			first = i
		}
	}
	return first
}

// remove takes out those that gone says are over.
func (w *queue) remove(gone func(q *sequence) bool) (removed []*sequence) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.DeleteFunc(w.waiting, func(q *sequence) bool {
		if !gone(q) {
			return false
		}
		removed = append(removed, q)
		<-w.room
		return true
	})
	return removed
}

// enter waits for room in the queue, or fails with ErrBusy when wait is false.
func (w *queue) enter(ctx, closing context.Context, wait bool) error {
	select {
	case w.room <- struct{}{}:
		return nil
	default:
	}
	if !wait {
		return ErrBusy
	}
	select {
	case w.room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-closing.Done():
		return w.reasonToRefuse()
	}
}
