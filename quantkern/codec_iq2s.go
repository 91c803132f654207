package quantkern

import (
	"math"
	"sync"
)

// The encoder of IQ2_S. Eight magnitudes become one of 1,024 combinations of
// three levels, so the search is: for sixteen values, which share a 4-bit
// scale, try units around the one that fits the largest, and for each group
// of eight take the nearest combination. Then scales are rounded under the common
// one and the combinations chosen again for what was stored.

const (
	iq2sEntries = 1024
	iq2sGroup   = 8
	iq2sPart    = 16 // values under one scale
	iq2sNear    = 12 // combinations that are compared with a group's values
	iq2sMaxOut  = 15.5 * 0.25
)

// iq2sTries are the units that are tried, as parts of the largest magnitude
// over the largest level.
var iq2sTries = [...]float32{0.62, 0.68, 0.74, 0.79, 0.84, 0.88, 0.92, 0.96, 1, 1.04, 1.09, 1.15, 1.23, 1.33, 1.48, 1.7}

// iq2sNearest lists, for every combination of eight levels (the first the
// lowest digit of a base-3 number), the entries of the grid nearest to it.
var iq2sNearest = sync.OnceValue(func() *[6561][iq2sNear]uint16 {
	var levels [iq2sEntries][iq2sGroup]int
	for e, packed := range iq2sGrid[:iq2sEntries] {
		for j := range iq2sGroup {
			levels[e][j] = int(iq2sLevel[packed>>(2*j)&3])
		}
	}
	near := new([6561][iq2sNear]uint16)
	for key := range near {
		var want [iq2sGroup]int
		for j, rest := 0, key; j < iq2sGroup; j, rest = j+1, rest/3 {
			want[j] = int(iq2sLevel[rest%3])
		}
		var best [iq2sNear]int // distances, ascending
		n := 0
		for e := range levels {
			d := 0
			for j, l := range levels[e] {
				d += (l - want[j]) * (l - want[j])
			}
			if n == iq2sNear && d >= best[n-1] {
				continue
			}
			n = min(n+1, iq2sNear)
			i := n - 1
			for ; i > 0 && best[i-1] > d; i-- {
				best[i], near[key][i] = best[i-1], near[key][i-1]
			}
			best[i], near[key][i] = d, uint16(e)
		}
	}
	return near
})

// iq2sLevels are the levels of every entry of the grid.
var iq2sLevels = sync.OnceValue(func() *[iq2sEntries][iq2sGroup]float32 {
	t := new([iq2sEntries][iq2sGroup]float32)
	for e, packed := range iq2sGrid[:iq2sEntries] {
		for j := range iq2sGroup {
			t[e][j] = iq2sLevel[packed>>(2*j)&3]
		}
	}
	return t
})

// iq2sPick finds the entry for eight magnitudes in units of the levels: of
// those near the rounded magnitudes, the one with the least squared error.
func iq2sPick(x *[iq2sGroup]float32, near *[6561][iq2sNear]uint16, levels *[iq2sEntries][iq2sGroup]float32) (entry uint16, miss float32) {
	key := 0
	for j := iq2sGroup - 1; j >= 0; j-- {
		digit := 0
		switch {
		case x[j] > (25+43)/2:
			digit = 2
		case x[j] > (8+25)/2.0:
			digit = 1
		}
		key = 3*key + digit
	}
	miss = float32(math.Inf(1))
	for _, e := range near[key] {
		var sum float32
		for j, l := range levels[e] {
			d := x[j] - l
			sum += float32(d * d)
		}
		if sum < miss {
			entry, miss = e, sum
		}
	}
	return entry, miss
}

// iq2sChoice is what a part becomes in a given unit.
type iq2sChoice struct {
	entries [2]uint16
	miss    float64 // sum of squared errors
	xl, ll  float64 // sums of value × level and level × level
}

func iq2sChoose(part []float32, unit float32, near *[6561][iq2sNear]uint16, levels *[iq2sEntries][iq2sGroup]float32) (c iq2sChoice) {
	inverse := 1 / unit
	for g := range c.entries {
		var x [iq2sGroup]float32
		for j := range x {
			x[j] = abs32(part[g*iq2sGroup+j]) * inverse
		}
		e, miss := iq2sPick(&x, near, levels)
		c.entries[g] = e
		c.miss += float64(float64(miss) * float64(unit) * float64(unit))
		for j, l := range levels[e] {
			c.xl += float64(float64(abs32(part[g*iq2sGroup+j])) * float64(l))
			c.ll += float64(float64(l) * float64(l))
		}
	}
	return c
}

func encodeIQ2S(dst []byte, src []float32) *ValueError {
	if _, _, bad := extreme(src); bad != nil {
		return bad
	}
	near, levels := iq2sNearest(), iq2sLevels()
	clear(dst)
	const parts = 256 / iq2sPart
	var units [parts]float32
	largest := float32(0)
	for p := range units {
		part := src[p*iq2sPart:][:iq2sPart]
		_, top, _ := extreme(part)
		least := math.Inf(1)
		for _, try := range iq2sTries {
			unit := top / 43 * try
			if unit == 0 || !isFinite(1/unit) {
				continue
			}
			if c := iq2sChoose(part, unit, near, levels); c.miss < least {
				least, units[p] = c.miss, float32(c.xl/c.ll)
			}
		}
		largest = max(largest, units[p])
	}
	if largest == 0 {
		return nil
	}
	if bad := putScale(dst, largest/iq2sMaxOut); bad != nil {
		return bad
	}
	d := f16At(dst)
	if d == 0 {
		return nil
	}
	var xq, qq float64 // for the common scale that fits best in the end
	for p := range units {
		part := src[p*iq2sPart:][:iq2sPart]
		scale := min(15, max(0, roundEven(units[p]*4/d-0.5)))
		unit := float32(d*(0.5+float32(scale))) * 0.25
		c := iq2sChoose(part, unit, near, levels)
		dst[74+p/2] |= byte(scale) << (p % 2 * 4)
		out := float64((0.5 + float32(scale)) * 0.25)
		xq, qq = xq+float64(c.xl*out), qq+float64(c.ll*out*out)
		for g, e := range c.entries {
			group := 2*p + g
			dst[2+group] = byte(e)
			dst[66+group/4] |= byte(e>>8) << (group % 4 * 2)
			for j, v := range part[g*iq2sGroup:][:iq2sGroup] {
				if v < 0 {
					dst[34+group] |= 1 << j
				}
			}
		}
	}
	return putScale(dst, float32(xq/qq))
}
