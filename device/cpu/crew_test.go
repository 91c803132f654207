package cpu

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// host is a machine that a crew works on, with a clock of its own.
type host struct {
	cores, neighbours int
	speed             func(workers int) float64 // bytes a second of workers with a core each
	blind             bool                      // it does not tell processor time

	now  time.Time
	used time.Duration
}

func (h *host) processor() (time.Duration, bool) { return h.used, !h.blind }

// call is how long bytes take so many workers. The scheduler is fair, and all
// workers wait for whoever is stopped.
func (h *host) call(workers int, bytes int64) time.Duration {
	share := min(1, float64(h.cores)/float64(workers+h.neighbours))
	took := time.Duration(float64(bytes) / (h.speed(workers) * share) * float64(time.Second))
	h.now = h.now.Add(took)
	h.used += time.Duration(share * float64(workers) * float64(took))
	return took
}

const hostCall = 16 << 20

// work has a crew work for a while and tells for which part of it how many
// workers took part, in the second half alone.
func (h *host) work(c *crew, rows int, lasts time.Duration) map[int]float64 {
	var all time.Duration
	took := map[int]time.Duration{}
	for start := h.now; h.now.Sub(start) < lasts; {
		workers := c.workers(rows)
		lasted := h.call(workers, hostCall)
		c.note(h.now, lasted, workers, rows, hostCall)
		if h.now.Sub(start) > lasts/2 {
			took[workers] += lasted
			all += lasted
		}
	}
	parts := map[int]float64{}
	for workers, sum := range took {
		parts[workers] = float64(sum) / float64(all)
	}
	return parts
}

// memoryBound: one worker has 0.78 of the speed of all, two 0.9 of it and so on.
func memoryBound(all int) func(int) float64 {
	return func(workers int) float64 {
		return 40e9 * (1 - 0.22*float64(all-workers)/float64(all-1)*2/float64(all))
	}
}

func twoCores() (*host, *crew) {
	h := &host{cores: 2, speed: memoryBound(2), now: time.Unix(0, 0)}
	return h, newCrew(2, h.processor)
}

// TestCrewQuiet: without neighbours all take part, always.
func TestCrewQuiet(t *testing.T) {
	h, c := twoCores()
	if parts := h.work(c, 1, time.Minute); parts[2] != 1 || c.now != 2 {
		t.Errorf("parts %v", parts)
	}
}

// TestCrewNeighbour: one fewer while a neighbour has a core, and soon all
// again when it has gone, however long it was there.
func TestCrewNeighbour(t *testing.T) {
	for _, stays := range []time.Duration{2 * time.Second, time.Minute} {
		h, c := twoCores()
		h.work(c, 1, time.Second)
		for range 3 {
			h.neighbours = 1
			if parts := h.work(c, 1, stays); parts[1] < 0.85 {
				t.Errorf("beside a neighbour of %v: parts %v", stays, parts)
			}
			h.neighbours = 0
			if parts := h.work(c, 1, 4*time.Second); parts[2] != 1 {
				t.Errorf("2 s after a neighbour of %v: parts %v", stays, parts)
			}
		}
	}
}

// TestCrewComesSoon: the first smaller crew comes within a few windows.
func TestCrewComesSoon(t *testing.T) {
	h, c := twoCores()
	h.work(c, 1, time.Second)
	h.neighbours = 1
	if h.work(c, 1, 10*crewWindow); c.now != 1 {
		t.Errorf("%d workers", c.now)
	}
}

// TestCrewFullHouse: with as many neighbours as cores a single worker has no
// core to itself either, so all take part, whoever was there before.
func TestCrewFullHouse(t *testing.T) {
	for _, before := range []int{0, 1} {
		h, c := twoCores()
		h.neighbours = before
		h.work(c, 1, 2*time.Second)
		h.neighbours = 2
		if parts := h.work(c, 1, 20*time.Second); parts[2] < 0.95 {
			t.Errorf("after %d neighbours: parts %v", before, parts)
		}
	}
}

// TestCrewBound: where the processor bounds the work, fewer are slower, and trials are rare.
func TestCrewBound(t *testing.T) {
	h, c := twoCores()
	h.speed = func(workers int) float64 { return 20e9 * float64(workers) }
	h.neighbours = 1
	if parts := h.work(c, 1, time.Minute); parts[2] < 0.95 || c.now != 2 {
		t.Errorf("parts %v", parts)
	}
}

// TestCrewMany: of eight workers one after the other stays away from four
// neighbours, until nothing much is missing.
func TestCrewMany(t *testing.T) {
	h := &host{cores: 8, neighbours: 4, speed: memoryBound(8), now: time.Unix(0, 0)}
	c := newCrew(8, h.processor)
	if parts := h.work(c, 2, 10*time.Second); parts[5]+parts[6] < 0.85 {
		t.Errorf("parts %v", parts)
	}
	h.neighbours = 0
	if parts := h.work(c, 2, 8*time.Second); parts[8] != 1 {
		t.Errorf("after they have left: parts %v", parts)
	}
}

// TestCrewBlind: where the system does not tell processor time nothing is tried.
func TestCrewBlind(t *testing.T) {
	h, c := twoCores()
	h.blind, h.neighbours = true, 1
	if parts := h.work(c, 1, 10*time.Second); parts[2] != 1 {
		t.Errorf("parts %v", parts)
	}
}

// TestCrewOtherWork: prompts and large batches have all workers.
func TestCrewOtherWork(t *testing.T) {
	h, c := twoCores()
	h.neighbours = 1
	h.work(c, 1, 2*time.Second)
	for rows, want := range map[int]int{0: 2, 1: 1, memoryRows: 1, memoryRows + 1: 2, 512: 2} {
		if got := c.workers(rows); got != want {
			t.Errorf("%d rows: %d workers, want %d", rows, got, want)
		}
	}
	h.neighbours = 0
	if parts := h.work(c, 512, 2*time.Second); parts[2] != 1 {
		t.Errorf("a prompt: parts %v", parts)
	}
}

// TestCrewMixed: steps that take turns make no windows that can be compared; a
// crew does not stay small on what it knew before.
func TestCrewMixed(t *testing.T) {
	h, c := twoCores()
	h.neighbours = 1
	if h.work(c, 1, 2*time.Second); c.workers(1) != 1 {
		t.Fatalf("%d workers beside a neighbour", c.workers(1))
	}
	h.neighbours = 0
	for range 600 {
		h.work(c, 1, time.Millisecond)
		h.work(c, 2, time.Millisecond)
	}
	if c.workers(1) != 2 {
		t.Errorf("%d workers", c.workers(1))
	}
}

// TestCrewBounds: whatever is measured, at least one worker takes part and at
// most all do.
func TestCrewBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.IntRange(1, 5).Draw(t, "all")
		var used time.Duration
		c, now := newCrew(all, func() (time.Duration, bool) { return used, true }), time.Unix(0, 0)
		for range 300 {
			took := time.Duration(rapid.IntRange(0, 100e6).Draw(t, "took"))
			rows := rapid.SampledFrom([]int{0, 1, 1, 1, 1, 2, 9}).Draw(t, "rows")
			workers := c.workers(rows)
			if workers < 1 || workers > all || (rows == 9 && workers != all) {
				t.Fatalf("%d of %d workers for %d rows", workers, all, rows)
			}
			now = now.Add(took)
			used += time.Duration(rapid.Float64Range(0, 1).Draw(t, "share") * float64(workers) * float64(took))
			c.note(now, took, workers, rows, int64(rapid.IntRange(0, 1<<20).Draw(t, "bytes")))
		}
	})
}

// TestCrewAllocatesNothing, the system's account included.
func TestCrewAllocatesNothing(t *testing.T) {
	c, now := newCrew(2, processorTime()), time.Unix(0, 0)
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(crewWindow)
		c.note(now, crewWindow, 2, 1, 1)
	}); n > 0 {
		t.Errorf("%v allocations a window", n)
	}
}

// TestProcessorTime grows with work, where the system tells it.
func TestProcessorTime(t *testing.T) {
	account := processorTime()
	before, ok := account()
	if !ok {
		t.Skip("the system does not tell")
	}
	eventually(t, "work is counted", func() bool {
		x := 1.0
		for range 1_000_000 {
			x = x*1.0000001 + 1
		}
		now, _ := account()
		return x > 0 && now > before
	})
}
