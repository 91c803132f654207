//go:build cuda

package cuda

import (
	"time"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// interval is a piece of work in the stream, between two events.
type interval struct {
	start, end driver.Event
	done       device.Worked
}

// waited is a wait for the stream of which nobody has been told yet: telling takes some
// microseconds, in which the next step had better begin.
type waited struct {
	n  int // pieces of work that were done
	at time.Time
}

// ahead is how many pieces of work may wait in the stream before its owner waits too.
const ahead = 32

// timed puts a piece of work into the stream and has done told of it when the stream has
// been waited for. On the queue.
func (g *gpu) timed(done device.Worked, work func() error) error {
	if f := g.fault.Load(); f != nil {
		return *f
	}
	if len(g.pending) >= ahead {
		g.tell()
	}
	if len(g.pending) >= ahead {
		if err := g.pending[len(g.pending)-ahead/2].end.Synchronize(); err != nil {
			return g.fail("waiting for earlier work", err)
		}
		g.settleUpTo(len(g.pending)-ahead/2+1, time.Now())
	}
	var iv interval
	var err error
	if iv.start, err = g.event(); err != nil {
		return err
	}
	if iv.end, err = g.event(); err != nil {
		return err
	}
	iv.done = done
	if err := iv.start.Record(g.stream); err != nil {
		return g.fail("recording an event", err)
	}
	if err := work(); err != nil {
		g.events = append(g.events, iv.start, iv.end)
		return err
	}
	if err := iv.end.Record(g.stream); err != nil {
		return g.fail("recording an event", err)
	}
	g.pending = append(g.pending, iv)
	return nil
}

func (g *gpu) event() (driver.Event, error) {
	if n := len(g.events); n > 0 {
		e := g.events[n-1]
		g.events = g.events[:n-1]
		return e, nil
	}
	e, err := g.ctx.NewEvent(true)
	return e, g.fail("making an event", err)
}

// settle tells of all work in the stream, which has been waited for.
func (g *gpu) settle() {
	g.tell()
	g.settleUpTo(len(g.pending), time.Now())
}

// tell tells of what was waited for before.
func (g *gpu) tell() {
	w := g.waited
	g.settleUpTo(w.n, w.at)
}

// settleUpTo tells of the first n pieces, which are done. The last of them ended at a
// moment, mostly just now; the others are so far before it as the GPU's clock says.
func (g *gpu) settleUpTo(n int, now time.Time) {
	g.waited.n = max(0, g.waited.n-n)
	if n == 0 {
		return
	}
	last := g.pending[n-1].end
	for _, iv := range g.pending[:n] {
		if iv.done != nil {
			from, err1 := last.Since(iv.start)
			to, err2 := last.Since(iv.end)
			if err1 == nil && err2 == nil {
				iv.done(now.Add(-seconds(from)), now.Add(-seconds(to)))
			} else {
				iv.done(now, now)
			}
		}
		g.events = append(g.events, iv.start, iv.end)
	}
	g.pending = append(g.pending[:0], g.pending[n:]...)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// skipped tells of work that was not done because what it needs never came.
func (g *gpu) skipped(done device.Worked) {
	now := time.Now()
	done(now, now)
}

// rest tells of work that is done while nobody waits for it, and says whether some is still
// under way. On the queue, between jobs.
func (g *gpu) rest() bool {
	g.tell()
	n := 0
	for n < len(g.pending) {
		done, err := g.pending[n].end.Done()
		if err != nil {
			g.fail("waiting for work", err) //nolint:errcheck // remembered
			n = len(g.pending)
			break
		}
		if !done {
			break
		}
		n++
	}
	g.settleUpTo(n, time.Now())
	return len(g.pending) > 0
}
