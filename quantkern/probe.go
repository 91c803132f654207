package quantkern

import (
	"encoding/binary"
	"fmt"
)

const (
	// ProbeBlock is the number of bytes of which ReadProbe reads whole multiples.
	ProbeBlock = 512
	// ProbeProducts is the number of products of a round of Int8Probe.
	ProbeProducts = 1024
)

// ReadProbe reads data, a whole number of ProbeBlock bytes, from its begin to
// its end as fast as the tier's loads can, and returns the exclusive or of its
// 64-bit words, little-endian. Lines are prefetched ahead bytes before they are
// read. It measures memory; nothing else uses it.
func ReadProbe(data []byte, ahead int) uint64 {
	if len(data)%ProbeBlock != 0 {
		panic(fmt.Sprintf("quantkern: ReadProbe of %d bytes, not a multiple of %d", len(data), ProbeBlock))
	}
	if len(data) == 0 {
		return 0
	}
	if f := active.readProbe; f != nil {
		return f(&data[0], uintptr(len(data)/ProbeBlock), uintptr(ahead))
	}
	var a, b, c, d uint64
	for ; len(data) >= 32; data = data[32:] {
		a ^= binary.LittleEndian.Uint64(data)
		b ^= binary.LittleEndian.Uint64(data[8:])
		c ^= binary.LittleEndian.Uint64(data[16:])
		d ^= binary.LittleEndian.Uint64(data[24:])
	}
	return a ^ b ^ c ^ d
}

// Int8Probe makes rounds of ProbeProducts products of int8, all ones and in
// registers (in the plain-Go tier: in the first cache), by the instructions of
// the tier's ternary products, and returns their sum modulo 2^32. It measures
// how fast they could ever be; nothing else uses it.
func Int8Probe(rounds int) uint32 {
	if f := active.int8Probe; f != nil {
		return f(uintptr(rounds))
	}
	var ones [ProbeProducts]int8
	for i := range ones {
		ones[i] = 1
	}
	var words [ProbeProducts / wordValues]uint64
	packActivations(words[:], ones[:])
	var sum uint32
	for range rounds {
		sum += uint32(dotWords(words[:], words[:]))
	}
	return sum
}
