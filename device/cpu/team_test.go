package cpu

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"tritflow/device"
)

// runJob is a call of one job.
func runJob(team *team, n, grain int, fn func(worker, lo, hi int)) error {
	each := task{do: fn}
	return team.do(context.Background(), func(context.Context) error { return team.Run(n, grain, &each) })
}

// TestTeamCovers: whatever the sizes, each index is handed out once, in pieces
// of at most grain, to workers that exist and run one piece at a time.
func TestTeamCovers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 9).Draw(t, "workers")
		team := newTeam("cpu:0", workers)
		defer team.Close()
		for range rapid.IntRange(1, 5).Draw(t, "jobs") {
			n := rapid.IntRange(0, 200).Draw(t, "n")
			grain := rapid.IntRange(0, 50).Draw(t, "grain")
			seen := make([]atomic.Int32, n)
			busy := make([]atomic.Int32, workers)
			var wrong atomic.Int32
			err := runJob(team, n, grain, func(worker, lo, hi int) {
				if worker >= workers || busy[worker].Add(1) != 1 || lo >= hi || hi-lo > max(grain, 1) {
					wrong.Add(1)
				}
				for i := lo; i < hi; i++ {
					seen[i].Add(1)
				}
				busy[worker].Add(-1)
			})
			if err != nil || wrong.Load() != 0 {
				t.Fatalf("error %v, %d wrong pieces", err, wrong.Load())
			}
			for i := range seen {
				if seen[i].Load() != 1 {
					t.Fatalf("index %d of %d was handed out %d times", i, n, seen[i].Load())
				}
			}
		}
	})
}

// TestTeamTogether: all workers take part in a job that needs them all.
func TestTeamTogether(t *testing.T) {
	const workers = 4
	team := newTeam("cpu:0", workers)
	defer team.Close()
	var arrived atomic.Int32
	all := make(chan struct{})
	err := runJob(team, workers, 1, func(_, _, _ int) {
		if arrived.Add(1) == workers {
			close(all)
		}
		<-all
	})
	if err != nil {
		t.Fatal(err)
	}
}

var errKernel = errors.New("kernel went wrong")

func explode() { panic(errKernel) }

// TestTeamPanic: a panic in any piece is an error with the stack of the place,
// the job ends, and the next one runs.
func TestTeamPanic(t *testing.T) {
	for _, workers := range []int{1, 3} {
		team := newTeam("cpu:7", workers)
		defer team.Close()
		for _, bad := range []int{0, 57, 99} {
			err := runJob(team, 100, 1, func(_, lo, _ int) {
				if lo == bad {
					explode()
				}
			})
			e, ok := errors.AsType[*device.PanicError](err)
			if !ok || e.Device != "cpu:7" || !errors.Is(err, errKernel) || !strings.Contains(string(e.Stack), "explode") {
				t.Fatalf("error %v", err)
			}
			var ran atomic.Int32
			if err := runJob(team, 100, 3, func(_, lo, hi int) { ran.Add(int32(hi - lo)) }); err != nil || ran.Load() != 100 {
				t.Fatalf("after a panic: %d indices, error %v", ran.Load(), err)
			}
		}
	}
}

// TestTeamIndexPanic: runtime errors too, not only panics by hand.
func TestTeamIndexPanic(t *testing.T) {
	team := newTeam("cpu:0", 2)
	defer team.Close()
	var none []int
	err := runJob(team, 10, 1, func(_, lo, _ int) { none[lo]++ })
	if _, ok := errors.AsType[*device.PanicError](err); !ok || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("error %v", err)
	}
}

func TestTeamAllocatesNothing(t *testing.T) {
	team := newTeam("cpu:0", 3)
	defer team.Close()
	var sum atomic.Int64
	add := task{do: func(_, lo, hi int) { sum.Add(int64(hi - lo)) }}
	call := func(context.Context) error { return team.Run(1000, 10, &add) }
	if n := testing.AllocsPerRun(100, func() {
		if err := team.do(t.Context(), call); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a job", n)
	}
}
