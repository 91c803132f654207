//go:build cuda

package cuda

// cuts say how a step's time was divided when that was measured last. An event between two kernels keeps
// the second one from starting while the first one ends, some microseconds a step: between the pieces of steps
// that are begun early there is one now and then only.
type cuts struct {
	until []float64 // where pieces end, 0 to 1; nil: not known yet
	used  int
}

// measureAgain is after how many steps they are measured again: contexts grow.
const measureAgain = 256

// timePieces is time for the pieces of a step that nobody has asked for yet; the piece before them is under way.
// They are put into the stream in their order. key is what the division of their time depends on. On the queue.
func (g *gpu) timePieces(key int, pieces ...func() error) ([]*interval, error) {
	c := g.cuts[key]
	if c == nil {
		c = &cuts{}
		g.cuts[key] = c
	}
	if c.used++; c.until == nil || c.used > measureAgain {
		return g.measurePieces(c, pieces)
	}
	whole, err := g.time(&interval{early: true}, true, func() error {
		for _, work := range pieces {
			if err := work(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, until := range c.until {
		whole.shares = append(whole.shares, &interval{early: true, of: whole, until: until})
	}
	return whole.shares, nil
}

func (g *gpu) measurePieces(c *cuts, pieces []func() error) ([]*interval, error) {
	all := make([]*interval, 0, len(pieces))
	for _, work := range pieces {
		iv, err := g.time(&interval{early: true}, true, work)
		if err != nil {
			return nil, err
		}
		all = append(all, iv)
	}
	all[len(all)-1].known = func() {
		from := all[0].from
		if took := all[len(all)-1].to.Sub(from); took > 0 {
			c.until, c.used = c.until[:0], 0
			for _, iv := range all {
				c.until = append(c.until, float64(iv.to.Sub(from))/float64(took))
			}
		}
	}
	return all, nil
}

// tell tells of an interval that has its times, and of its shares.
func (iv *interval) tell() {
	iv.told = true
	if iv.done != nil {
		iv.done(iv.from, iv.to)
	}
	from := iv.from
	for _, s := range iv.shares {
		s.from, s.to = from, iv.from.Add(seconds(s.until*iv.to.Sub(iv.from).Seconds()))
		from = s.to
		s.tell()
	}
	if iv.known != nil {
		iv.known()
	}
}
