package cpu

import "time"

// memoryRows is up to how many rows of activations memory bounds a product:
// then one worker fewer costs less than its share.
const memoryRows = 2

// What crew goes by.
const (
	// crewWindow is how much work is measured at a time: several time slices of
	// a scheduler.
	crewWindow = 24 * time.Millisecond

	// crewTrial is how many windows a trial takes, and at least how many come
	// before one; of more than crewMean, the later ones count more.
	crewTrial, crewMean = 2, 8

	// crewShare is the part of the processor time asked for that workers have to
	// get; with less, fewer are tried.
	crewShare = 0.8

	// crewGain is how much faster others must be to stay; all may stay for less
	// when nothing is missing.
	crewGain = 1.03

	// crewSoon is the pause before a trial after others have stayed. It doubles
	// with every trial in vain: up to crewFewer, because those of fewer workers
	// may cost much, and up to crewMore, because that a neighbour has left should not
	// be missed for long.
	crewSoon, crewFewer, crewMore = 200 * time.Millisecond, 4 * time.Second, time.Second

	// crewLost is after how much work that made no whole window all take part again.
	crewLost = time.Second
)

// crew decides how many workers of a team take part in work that memory bounds.
// When a neighbour takes a core, a fair scheduler stops each worker now and then,
// and all wait for the one that is stopped. With one worker fewer each has a
// core to itself, and memory gives most of what it gave.
//
// How much processor time the process gets tells when fewer workers are worth a
// trial, and their speed whether they stay. From then on, trials tell when all are
// faster again. As long as nothing is missing, nothing is tried.
type crew struct {
	all   int // workers of the team
	now   int // take part, but for a trial
	trial int // so many more in a trial: -1, or all others

	fewer, more patience

	pressed bool    // processor time is missing
	windows int     // that ended since now, trial, pressed or rows changed
	rate    float64 // work a second in them
	before  float64 // rate before the trial

	// The window so far.
	rows  int           // of activations: only windows of as many are compared
	work  float64       // bytes of weights
	spent time.Duration // on that work
	asked time.Duration // processor time, also for other work
	used  time.Duration // the process's processor time when the window began
	known bool          // used is
	lost  time.Duration // spent since a window ended

	processor func() (used time.Duration, ok bool)
}

// patience is when something may be tried.
type patience struct {
	next  time.Time
	pause time.Duration // that next was set by
}

func (p *patience) wait(now time.Time, pause time.Duration) { p.pause, p.next = pause, now.Add(pause) }

// longer doubles the pause.
func (p *patience) longer(now time.Time, most time.Duration) {
	p.wait(now, min(max(2*p.pause, crewSoon), most))
}

// newCrew is the crew of a team. processor tells the processor time of the process so
// far; where the system does not (false), all workers always take part.
func newCrew(all int, processor func() (used time.Duration, ok bool)) *crew {
	return &crew{all: all, now: all, processor: processor}
}

// workers is how many take part in work on so many rows; 0 stands for other work.
func (c *crew) workers(rows int) int {
	if rows == 0 || rows > memoryRows {
		return c.all
	}
	return c.now + c.trial
}

// note counts work of so many workers that took the time took and ends now:
// bytes of weights multiplied with rows of activations; 0 bytes where they do not
// tell how long it should take.
func (c *crew) note(now time.Time, took time.Duration, workers, rows int, bytes int64) {
	if c.all == 1 {
		return
	}
	c.asked += time.Duration(workers) * took
	if bytes == 0 || rows > memoryRows {
		return
	}
	if rows != c.rows {
		c.rows, c.known, c.trial, c.windows = rows, false, 0, 0
	}
	if c.lost += took; c.lost > crewLost {
		c.now, c.trial, c.windows, c.lost = c.all, 0, 0, 0
	}
	c.work += float64(bytes)
	if c.spent += took; c.known && c.spent < crewWindow {
		return
	}
	used, ok := c.processor()
	if c.known && ok {
		c.lost = 0
		c.judge(now, c.work/c.spent.Seconds(), float64(used-c.used) < crewShare*float64(c.asked))
	}
	c.work, c.spent, c.asked, c.used, c.known = 0, 0, 0, used, ok
}

// judge ends a window: the work a second in it, and whether processor time was missing.
func (c *crew) judge(now time.Time, rate float64, pressed bool) {
	if c.trial == 0 && pressed != c.pressed {
		// A neighbour came or left in this window, which so is neither.
		c.pressed, c.windows = pressed, 0
		c.fewer.wait(now, 0)
		return
	}
	if c.windows == 0 {
		c.rate = 0
	}
	c.windows++
	c.rate += (rate - c.rate) / float64(min(c.windows, crewMean))
	// Even a single worker has no core to itself.
	futile := pressed && c.now+c.trial == 1
	switch {
	case c.windows < crewTrial:
	case c.trial < 0 && (futile || c.rate < crewGain*c.before):
		c.trial, c.windows = 0, 0
		c.fewer.longer(now, crewFewer)
	case c.trial > 0 && (c.rate < c.before || pressed && c.rate < crewGain*c.before):
		c.trial, c.windows = 0, 0
		c.more.longer(now, crewMore)
	case c.trial != 0:
		c.stay(now, c.now+c.trial)
	case futile:
		c.stay(now, c.all)
		c.fewer.wait(now, crewFewer)
	case pressed && c.now > 1 && !now.Before(c.fewer.next):
		c.trial, c.before, c.windows = -1, c.rate, 0
	case c.now < c.all && !now.Before(c.more.next):
		c.trial, c.before, c.windows = c.all-c.now, c.rate, 0
	}
}

// stay has so many workers take part until a trial tells otherwise.
func (c *crew) stay(now time.Time, workers int) {
	c.now, c.trial, c.windows = workers, 0, 0
	c.fewer.wait(now, crewSoon)
	c.more.wait(now, crewSoon)
}
