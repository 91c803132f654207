package cpu

import "time"

const (
	// spreadTime is how often a worker looks where it runs.
	spreadTime = 50 * time.Microsecond

	// farBehind is how many jobs a worker has had no part in when it seems not to run.
	farBehind = 8
)

// spread moves a worker away from a processor for which another one waits. Beside a
// process that takes a processor, the scheduler often leaves both workers on the other one
// (three can never be even on two), where they take turns. The worker is moved, not
// pinned: afterwards it may run wherever it might before.
func (t *team) spread(m *member) {
	if len(t.workers) == 1 || m.joined.Sub(m.looked) < spreadTime {
		return
	}
	m.looked = m.joined
	here := m.seat.here()
	m.processor.Store(here)
	for w := range t.workers {
		other := &t.workers[w]
		if other.processor.Load() == here && here >= 0 && m.number-numberOf(other.ended.Load()) > farBehind && other != m {
			m.seat.leave(t.taken)
			m.processor.Store(m.seat.here())
			return
		}
	}
}

// taken tells whether a worker joined its last job on a processor.
func (t *team) taken(processor int) bool {
	for w := range t.workers {
		if t.workers[w].processor.Load() == int32(processor) {
			return true
		}
	}
	return false
}
