package sample

import "math"

const (
	mtLen   = 624
	mtShift = 397
)

// mt19937 is the 32-bit Mersenne Twister of Matsumoto and Nishimura (1998)
// with the parameters and the seeding of C++'s std::mt19937.
type mt19937 struct {
	state [mtLen]uint32
	next  int
}

// seed starts the generator. Seeds below 2³² are those of std::mt19937; the
// upper half of larger ones is folded into the lower.
func (m *mt19937) seed(seed uint64) {
	m.state[0] = uint32(seed) ^ uint32(seed>>32)
	for i := 1; i < mtLen; i++ {
		prev := m.state[i-1]
		m.state[i] = 1812433253*(prev^prev>>30) + uint32(i)
	}
	m.next = mtLen
}

func (m *mt19937) refill() {
	for i := range m.state {
		y := m.state[i]&0x80000000 | m.state[(i+1)%mtLen]&0x7fffffff
		m.state[i] = m.state[(i+mtShift)%mtLen] ^ y>>1 ^ (y&1)*0x9908b0df
	}
	m.next = 0
}

// uint32 is the next output.
func (m *mt19937) uint32() uint32 {
	if m.next == mtLen {
		m.refill()
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// canonical is a double in [0, 1) made of two outputs a, b as (a + b·2³²)/2⁶⁴:
// libstdc++'s generate_canonical.
func (m *mt19937) canonical() float64 {
	a, b := m.uint32(), m.uint32()
	u := (float64(a) + float64(float64(b)*(1<<32))) / (1 << 32) / (1 << 32)
	if u >= 1 {
		return math.Nextafter(1, 0)
	}
	return u
}
