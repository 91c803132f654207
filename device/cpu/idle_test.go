package cpu

import (
	"context"
	"testing"
	"time"

	"tritflow/device"
	"tritflow/device/devtest"
)

// TestIdleTeamParks: soon after a request every worker sleeps; none watches
// for work. The next request wakes them.
func TestIdleTeamParks(t *testing.T) {
	d := open(t, "4")
	defer closeAll(t, d)
	parts := loadModel(t, devtest.OpenModel(t, devtest.Ternary), d)
	for range 3 {
		l, err := devtest.Forward(context.Background(), parts, devtest.NewBatch(device.Output{TopK: 1}, prompt))
		if err != nil {
			t.Fatal(err)
		}
		l.Release()
		eventually(t, "all workers sleep", func() bool {
			for i := range d.team.workers {
				if !d.team.workers[i].asleep.Load() {
					return false
				}
			}
			return true
		})
	}
}

// eventually waits, however slow the machine, for what must come.
func eventually(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 30 s it is still not true that %s", what)
		}
	}
}
