package quantkern

// superCodecs are the types of 256 values whose parts have small scales of
// their own under a common f16 scale.
var superCodecs = []*Codec{
	{Name: "Q4_K", BlockValues: 256, BlockBytes: 144, decode: decodeQ4K},
	{Name: "Q5_K", BlockValues: 256, BlockBytes: 176, decode: decodeQ5K},
	{Name: "Q6_K", BlockValues: 256, BlockBytes: q6kBytes, decode: decodeQ6K, encode: encodeQ6K},
	{Name: "IQ2_S", BlockValues: 256, BlockBytes: 82, decode: decodeIQ2S, encode: encodeIQ2S},
}

func decodeQ4K(dst []float32, b []byte) { decodeK(dst, b, b[16:144], nil) }

func decodeQ5K(dst []float32, b []byte) { decodeK(dst, b, b[48:176], b[16:48]) }

// decodeK reads eight parts of 32 values: (d×sc)×q − (dmin×m), with q from the
// low nibbles of 32 bytes for the even and the high ones for the odd parts,
// and the fifth bit (if there is one) of all parts' values i in high[i].
func decodeK(dst []float32, head, nibbles, high []byte) {
	d, dmin := f16At(head), f16At(head[2:])
	for part := range 8 {
		sc, m := partScale(head[4:16], part)
		scale, offset := d*float32(sc), float32(dmin*float32(m))
		qs := nibbles[part/2*32:][:32]
		out := dst[part*32:][:32]
		for i := range out {
			q := qs[i] >> (part % 2 * 4) & 15
			if high != nil {
				q |= high[i] >> part & 1 << 4
			}
			out[i] = float32(scale*float32(q)) - offset
		}
	}
}

// partScale unpacks the 6-bit scale and minimum of a part from the 12 bytes
// that Q4_K and Q5_K share.
func partScale(s []byte, part int) (sc, m byte) {
	if part < 4 {
		return s[part] & 63, s[part+4] & 63
	}
	return s[part+4]&15 | s[part-4]>>6<<4, s[part+4]>>4 | s[part]>>6<<4
}

// Offsets in a Q6_K block: 128 bytes of low nibbles, 64 of high bit pairs, 16
// signed scales, the f16 scale.
const (
	q6kHigh   = 128
	q6kScales = 192
	q6kD      = 208
	q6kBytes  = 210
)

// q6kPlace says where value i of a block has its low four and high two bits.
func q6kPlace(i int) (low, lowShift, high, highShift int) {
	half, quarter, l := i/128, i%128/32, i%32
	return 64*half + l + 32*(quarter%2), 4 * (quarter / 2), q6kHigh + 32*half + l, 2 * quarter
}

func decodeQ6K(dst []float32, b []byte) {
	d := f16At(b[q6kD:])
	for part := range 16 {
		low, ls, high, hs := q6kPlace(16 * part)
		lows, highs := b[low:][:16], b[high:][:16]
		scale := d * float32(int8(b[q6kScales+part]))
		out := dst[16*part:][:16]
		for i := range out {
			q := int(lows[i]>>ls&15) | int(highs[i]>>hs&3)<<4
			out[i] = scale * float32(q-32)
		}
	}
}

// decodeIQ2S reads groups of eight values: a 10-bit index into the grid of
// magnitudes (8 bits at 2, 2 bits at 66), a byte of signs (at 34), and a 4-bit
// scale (at 74) for every two groups: d×(0.5+scale)×0.25 × magnitude.
func decodeIQ2S(dst []float32, b []byte) {
	d := f16At(b)
	for group := range 32 {
		part, l := group/4, group%4
		index := int(b[2+group]) | int(b[66+part]>>(2*l)&3)<<8
		s := b[74+part] >> (l / 2 * 4) & 15
		scale := float32(d*(0.5+float32(s))) * 0.25
		signs := b[34+group]
		levels := iq2sGrid[index]
		for j := range 8 {
			v := scale * iq2sLevel[levels>>(2*j)&3]
			if signs>>j&1 != 0 {
				v = -v
			}
			dst[group*8+j] = v
		}
	}
}
