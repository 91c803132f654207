package stages

import "testing"

// counted is a task that counts its answers; the first of a bad one makes it panic.
type counted struct {
	task
	bad  bool
	seen int
}

func (c *counted) deliver(answer) {
	if c.seen++; c.bad {
		panic("no room")
	}
}

// TestDeliverOnce: an answer that makes its task panic keeps no other from its consumer, and
// nobody gets one twice.
func TestDeliverOnce(t *testing.T) {
	tasks := [3]*counted{{}, {bad: true}, {}}
	var s scheduler
	for _, c := range tasks {
		s.owe(&sequence{task: c}, answer{})
	}
	for range 2 {
		_ = catch("answers", func() error {
			s.deliver()
			return nil
		})
	}
	for i, c := range tasks {
		if c.seen != 1 {
			t.Errorf("task %d got %d answers", i, c.seen)
		}
	}
	if len(s.owed) != 0 {
		t.Errorf("%d answers are left", len(s.owed))
	}
}
