package bench

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tritflow/quantkern"
)

// probeBytes is what the read probe streams: far more than caches hold.
const probeBytes = 512 << 20

const (
	readPiece  = 1 << 20               // bytes a thread takes at once
	int8Piece  = 20 * time.Microsecond // of products, about, that a thread takes at once
	int8Pieces = 64                    // pieces a thread of a pass
	leastTries = 4
)

// prefetches are the distances that the read probe tries: what is best differs
// from processor to processor, and the best is the limit.
var prefetches = []int{0, 1 << 10, 2 << 10, 8 << 10}

// probe measures the machine at 1..threads threads within about the time
// given, each figure the best of several passes: bandwidth in GB/s over a
// buffer of size bytes, and int8 operations (a product is two) in 10¹² a second.
func probe(ctx context.Context, threads, size int, within time.Duration) (read, int8s []float64, err error) {
	buffer := make([]byte, size/readPiece*readPiece)
	for i := 0; i < len(buffer); i += 512 {
		buffer[i] = byte(i >> 9) // or all pages would be the same one
	}
	share := within / time.Duration(2*threads)
	rounds := roundsOfPiece()
	for n := 1; n <= threads; n++ {
		bytes := best(ctx, share, func(try int) float64 {
			ahead := prefetches[try%len(prefetches)]
			return float64(len(buffer)) / together(n, len(buffer)/readPiece, func(i int) {
				quantkern.ReadProbe(buffer[i*readPiece:(i+1)*readPiece], ahead)
			}).Seconds()
		})
		ops := best(ctx, share, func(int) float64 {
			each := 2 * float64(rounds) * quantkern.ProbeProducts
			return each * float64(n*int8Pieces) / together(n, n*int8Pieces, func(int) {
				quantkern.Int8Probe(rounds)
			}).Seconds()
		})
		if err := ctx.Err(); err != nil {
			return nil, nil, context.Cause(ctx)
		}
		read, int8s = append(read, bytes/1e9), append(int8s, ops/1e12)
	}
	return read, int8s, nil
}

// roundsOfPiece is how many rounds of Int8Probe make a piece: tiers differ a thousandfold.
func roundsOfPiece() int {
	for rounds := 1 << 6; ; rounds *= 2 {
		start := time.Now()
		quantkern.Int8Probe(rounds)
		if time.Since(start) >= int8Piece {
			return rounds
		}
	}
}

// best is the largest result of at least leastTries calls, and of more while
// there is time.
func best(ctx context.Context, within time.Duration, f func(try int) float64) float64 {
	most, start := 0.0, time.Now()
	for try := 0; ctx.Err() == nil && (try < leastTries || time.Since(start) < within); try++ {
		most = max(most, f(try))
	}
	return most
}

// together has threads work on pieces 0..n-1, which they take from a counter,
// and returns how long that took.
func together(threads, n int, piece func(i int)) time.Duration {
	var next atomic.Int64
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	ready.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-begin
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				piece(int(i))
			}
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start)
}
