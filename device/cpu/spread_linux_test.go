package cpu

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSeatLeave: a thread leaves the processors that are taken, and may run wherever it might before.
func TestSeatLeave(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Skip(err)
	}
	if before.Count() < 2 {
		t.Skip("one processor")
	}
	var s seat
	moved := 0
	for range 100 {
		here := s.here()
		if here < 0 || !before.IsSet(int(here)) {
			t.Fatalf("on processor %d", here)
		}
		s.leave(func(processor int) bool { return int32(processor) == here })
		if s.here() != here {
			moved++
		}
	}
	// The scheduler may move it back at once, but not always.
	if moved == 0 {
		t.Error("it never left")
	}
	s.leave(func(int) bool { return true }) // nowhere to go
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("it may run on %d processors, before on %d (error %v)", after.Count(), before.Count(), err)
	}
}

// TestSpread: who runs where another worker waits moves away, and nobody else does.
func TestSpread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil || allowed.Count() < 2 {
		t.Skip("one processor")
	}
	team := newTeam("cpu:0", 2)
	defer team.Close()
	eventually(t, "both sleep", func() bool { return team.workers[0].asleep.Load() && team.workers[1].asleep.Load() })
	var m member // a third one, run here
	moves := func(behind uint32, elsewhere int32) bool {
		here := m.seat.here()
		team.workers[0].processor.Store(here + elsewhere)
		m.number, m.looked = behind, m.joined.Add(-spreadTime)
		team.spread(&m)
		return m.processor.Load() != here
	}
	moved := 0
	for range 100 {
		if moves(farBehind+1, 0) {
			moved++
		}
	}
	if moved < 50 {
		t.Errorf("it moved %d times of 100", moved)
	}
	moved = 0
	for range 100 {
		if moves(farBehind+1, 1000) || moves(farBehind, 0) {
			moved++
		}
	}
	if moved > 50 {
		t.Errorf("it moved %d times of 100 without a reason", moved)
	}
}
