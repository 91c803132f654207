package main

// decodeQ8x0 emits the decoding of consecutive blocks of Q8_0; ahead is how
// far, in bytes, lie those that will be decoded next.
func (f *file) decodeQ8x0() {
	const values, bytes, scaleBytes = 32, 34, 2
	params := []string{"dst *float32", "src *byte", "blocks uintptr", "ahead uintptr"}
	f.kernel("DecodeQ8x0", "unpacks blocks of 32 values and fetches those that lie ahead.", "", params, func(k *kernel) {
		dst, src, next := k.arg("dst"), k.arg("src"), k.arg("ahead")
		k.op("ADD %v, %v", src, next)
		k.loop(k.arg("blocks"), func() {
			d, v := k.vec1(), k.vec(5)
			q, lo, hi, out := v[0], v[1], v[2], v[3:5]
			k.op("PRFM (%v), PLDL1KEEP", next)
			k.op("VLD1R (%v), [%v.H4]", src, d)
			k.word(fcvtl(d, d))
			k.advance(scaleBytes, src)
			for at := 0; at < values; at += 16 {
				k.load(q, src, at)
				k.word(sxtl8(lo, q), sxtl8h(hi, q))
				for i, half := range []vreg{lo, hi} {
					k.word(sxtl16(out[0], half), sxtl16h(out[1], half))
					for _, o := range out {
						k.word(scvtf(o, o), fmul(o, o, d))
					}
					k.store8(dst, 4*at+32*i, out[0], out[1])
				}
			}
			k.advance(bytes-scaleBytes, src)
			k.advance(bytes, next)
			k.advance(4*values, dst)
		})
	})
}
