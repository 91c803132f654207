package cpu

import "tritflow/quantkern"

const (
	// fineRows is up to how many outputs the activations have 16 bits: so many products
	// hide behind the bytes, and six bits are enough. More outputs take activations of 8
	// bits, whose wider bounds and those of six would leave more to compute exactly than
	// is spared.
	fineRows = 4
	// sixAgain is after how many passes six bits are tried again, sixMemory over how many
	// what they leave is averaged.
	sixAgain, sixMemory = 256, 8
	// scattered is how much longer it takes to read and multiply rows here and there
	// than to read as many bytes of the copy.
	scattered = 4
)

// screenBits chooses how many bits of a copy a pass reads: six while the exact
// products of the rows that they leave take less time than they spare. The
// calls of one head follow one another.
type screenBits struct {
	fixed int // 0: chosen
	row   int // bytes of a row of the head
	kinds [2]sixBits
	kind  int // of the pass at hand
}

// sixBits is what is known of passes of one kind: for one candidate an output, or for more.
type sixBits struct {
	mean   float64 // exact products of a pass, lately; 0 before the first
	passes int     // so many more read all bits
}

func (c *screenBits) init(fixed int, out *linear) {
	*c = screenBits{fixed: fixed, row: len(out.data) / out.rows}
}

// choose is for a pass of n outputs that want up to most candidates.
func (c *screenBits) choose(s *quantkern.Screen, n, most int) quantkern.Bounds {
	c.kind = min(most, 2) - 1
	if s.InPlace() {
		return quantkern.Bounds{Bits: quantkern.MostBits}
	}
	b := quantkern.Bounds{Bits: c.fixed}
	if c.fixed == 0 {
		b.Bits = quantkern.MostBits
		if n <= fineRows && c.kinds[c.kind].passes == 0 {
			b.Bits = quantkern.LeastBits
		}
	}
	b.Coarse = n > fineRows && b.Bits == quantkern.MostBits && s.Coarse()
	return b
}

// learn takes note of a pass that left so many rows; failed: or so many of some output that
// they had to be bounded again, or all.
func (c *screenBits) learn(s *screenState, exact int, failed bool) {
	of, all := &c.kinds[c.kind], s.bounds
	of.passes = max(0, of.passes-1)
	all.Bits = quantkern.MostBits
	spared := s.copy.Reads(all) - s.copy.Reads(s.bounds)
	if spared == 0 {
		return
	}
	if of.mean == 0 {
		of.mean = float64(exact)
	}
	of.mean += (float64(exact) - of.mean) / sixMemory
	if failed || scattered*of.mean*float64(c.row) > float64(spared) {
		*of = sixBits{passes: sixAgain}
	}
}
