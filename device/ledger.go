package device

import "sync"

// Use says what memory is for.
type Use uint8

const (
	Mapped      Use = iota // weights read in place from the mapped file
	Weights                // weights copied or repacked
	KVCache                // key/value pages
	Activations            // batches in flight and scratch
	numUses
)

// String is the name by which Usage counts this use.
func (u Use) String() string {
	return [...]string{"mapped", "weights", "kv", "activations"}[u]
}

// Ledger counts a device's memory by use. It is safe for concurrent use; the
// zero value is an empty ledger.
type Ledger struct {
	mu   sync.Mutex
	now  [numUses]int64
	peak [numUses]int64
}

// Add counts bytes taken (or, negative, given back).
func (l *Ledger) Add(u Use, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now[u] += bytes
	l.peak[u] = max(l.peak[u], l.now[u])
}

// Usage is a snapshot of a ledger, in bytes, keyed by Use.String. Peak holds
// the largest value that each use had, not necessarily at the same moment.
type Usage struct {
	Now  map[string]int64 `json:"now"`
	Peak map[string]int64 `json:"peak"`
}

// Snapshot reads the ledger.
func (l *Ledger) Snapshot() Usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	u := Usage{Now: map[string]int64{}, Peak: map[string]int64{}}
	for i := range numUses {
		u.Now[i.String()], u.Peak[i.String()] = l.now[i], l.peak[i]
	}
	return u
}
