package vocab

import (
	"testing"
	"time"
)

// quick fails if some work takes longer than a limit, many times what it needs, in each
// of several tries: in one it may have had to wait for a processor.
func quick(t *testing.T, limit time.Duration, work func()) {
	t.Helper()
	const tries = 5
	var took time.Duration
	for range tries {
		began := time.Now()
		work()
		if took = time.Since(began); took <= limit {
			return
		}
	}
	t.Errorf("took %v, and more than %v each time", took, limit)
}
