//go:build cuda

package cuda

import (
	"slices"
	"time"

	"tritflow/device"
	"tritflow/device/cuda/driver"
)

// interval is a piece of work in the stream, between two events.
type interval struct {
	start, end driver.Event
	done       device.Worked
	lent       bool // the next one's start is its end
	early      bool // begun before somebody asked for the work, who is told then
	told       bool
	from, to   time.Time // of early ones that are done

	shares []*interval // which divide it
	of     *interval   // whose share it is
	until  float64     // where in that the share ends, 0 to 1
	known  func()      // called when it is told of
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
	_, err := g.time(&interval{done: done}, false, work)
	return err
}

// time is timed for an interval that the caller keeps. follows says that the piece before it is
// surely still under way, so that this one begins where that ends. On the queue.
func (g *gpu) time(iv *interval, follows bool, work func() error) (*interval, error) {
	if f := g.fault.Load(); f != nil {
		return nil, *f
	}
	if len(g.pending) >= ahead {
		g.tell()
		if n := len(g.pending); n >= ahead {
			if err := g.pending[n-ahead/2].end.Synchronize(); err != nil {
				return nil, g.fail("waiting for earlier work", err)
			}
			g.settleUpTo(n-ahead/2+1, time.Now())
		}
	}
	var err error
	if iv.end, err = g.event(); err != nil {
		return nil, err
	}
	var before *interval
	if n := len(g.pending); follows && n > 0 {
		before = g.pending[n-1]
		before.lent, iv.start = true, before.end
	} else {
		if iv.start, err = g.event(); err != nil {
			g.events = append(g.events, iv.end)
			return nil, err
		}
		err = g.fail("recording an event", iv.start.Record(g.stream))
	}
	if err == nil {
		err = work()
	}
	if err == nil {
		err = g.fail("recording an event", iv.end.Record(g.stream))
	}
	if err != nil {
		g.events = append(g.events, iv.end)
		if before == nil || before.told {
			g.events = append(g.events, iv.start)
		} else {
			before.lent = false
		}
		return nil, err
	}
	g.pending = append(g.pending, iv)
	return iv, nil
}

// claim has done told of work that was begun early. On the queue.
func (iv *interval) claim(done device.Worked) {
	switch {
	case !iv.told:
		iv.done = done
	case done != nil:
		done(iv.from, iv.to)
	}
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

// wait waits for a piece of work and those before it.
func (g *gpu) wait(iv *interval, doing string) error {
	g.tell()
	if iv.of != nil {
		iv = iv.of
	}
	if iv.told {
		if f := g.fault.Load(); f != nil {
			return *f
		}
		return nil
	}
	if err := iv.end.Synchronize(); err != nil {
		return g.fail(doing, err)
	}
	g.waited = waited{slices.Index(g.pending, iv) + 1, time.Now()}
	g.queue.leave()
	return nil
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
		if iv.done != nil || iv.early {
			iv.from, iv.to = now, now
			from, err1 := last.Since(iv.start)
			to, err2 := last.Since(iv.end)
			if err1 == nil && err2 == nil {
				iv.from, iv.to = now.Add(-seconds(from)), now.Add(-seconds(to))
			}
		}
		iv.tell()
	}
	for _, iv := range g.pending[:n] {
		g.events = append(g.events, iv.start)
		if !iv.lent {
			g.events = append(g.events, iv.end)
		}
	}
	g.pending = slices.Delete(g.pending, 0, n)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// skipped tells of work that was not done because what it needs never came.
func (g *gpu) skipped(done device.Worked) {
	now := time.Now()
	done(now, now)
}

// rest tells of work that is done while nobody waits for it, and says whether some is still
// under way. It waits for the last piece: who waits for one before it knows better when that
// ended. On the queue, between jobs.
func (g *gpu) rest() bool {
	g.tell()
	n := len(g.pending)
	if n == 0 {
		return false
	}
	done, err := g.pending[n-1].end.Done()
	if err != nil {
		g.fail("waiting for work", err) //nolint:errcheck // remembered
		done = true
	}
	if done {
		g.settleUpTo(n, time.Now())
	}
	return !done
}
