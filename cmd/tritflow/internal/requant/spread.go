package requant

import (
	"runtime"

	"golang.org/x/sync/errgroup"

	"tritflow/gguf"
)

// spread runs fn over pieces of [0, n) on all processors. A fault of a mapped
// file is recognised on the goroutine that reads.
func spread(n int, fn func(lo, hi int) error) error {
	workers := min(runtime.GOMAXPROCS(0), n)
	var g errgroup.Group
	for i := range workers {
		lo, hi := i*n/workers, (i+1)*n/workers
		g.Go(func() error { return gguf.Guard(func() error { return fn(lo, hi) }) })
	}
	return g.Wait()
}
