package quantkern

const (
	q6kGroup = 16    // values under one signed 8-bit scale
	q6kMax   = 32    // codes stand for −32..31
	q6kEps   = 1e-15 // magnitudes below it count as zero
)

// encodeQ6K follows ggml's quantizer step by step, in its float32 operation
// order, so that the bytes are the same: each group searches the scale with
// the least squared error weighted by the squared value, the group scales are
// rounded to 8 bits under a common f16 one, and the values are rounded again
// under what was stored.
func encodeQ6K(dst []byte, src []float32) *ValueError {
	var scales [16]float32
	var codes [256]uint8
	for g := range scales {
		group := src[g*q6kGroup:][:q6kGroup]
		peak, most, bad := extreme(group)
		if bad == nil && most >= q6kEps {
			scales[g] = q6kSearch(codes[g*q6kGroup:][:q6kGroup], group, peak)
			if !isFinite(scales[g]) {
				bad = &ValueError{Value: peak, Reason: "too large for the type; keep the tensor in F32"}
			}
		}
		if bad != nil {
			bad.Col += g * q6kGroup
			return bad
		}
	}
	clear(dst)
	peak, most, _ := extreme(scales[:])
	if most < q6kEps {
		return nil
	}
	invert := -128 / peak
	if bad := putScale(dst[q6kD:], 1/invert); bad != nil {
		return bad
	}
	d := f16At(dst[q6kD:])
	for g, scale := range scales {
		q := int8(min(127, roundEven(invert*scale)))
		dst[q6kScales+g] = byte(q)
		// Where the product is 0 the codes of the search stay, as in ggml.
		if unit := d * float32(q); unit != 0 {
			for i := g * q6kGroup; i < (g+1)*q6kGroup; i++ {
				codes[i] = uint8(q6kCode(src[i]/unit) + q6kMax)
			}
		}
	}
	for i, code := range codes {
		low, ls, high, hs := q6kPlace(i)
		dst[low] |= code & 15 << ls
		dst[high] |= code >> 4 << hs
	}
	return nil
}

// q6kSteps are the tenths by which the searched scales differ from the one that
// maps the peak to −32; that one goes first, and the earliest wins a tie.
var q6kSteps = [19]float32{0, -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9}

// q6kSearch writes the codes of the best scale and returns the least-squares
// scale for them.
func q6kSearch(codes []uint8, x []float32, peak float32) float32 {
	var scale, best float32
	for try, step := range q6kSteps {
		invert := -(q6kMax + float32(0.1*step)) / peak
		var xl, ll float32
		for _, v := range x {
			l := float32(q6kCode(invert * v))
			w := v * v
			xl += float32(float32(w*v) * l)
			ll += float32(float32(w*l) * l)
		}
		better := ll > 0 && xl*xl > best*ll // false also for overflows, as in ggml
		if try > 0 && !better {
			continue
		}
		if ll != 0 {
			scale = xl / ll
		}
		best = scale * xl
		for i, v := range x {
			codes[i] = uint8(q6kCode(invert*v) + q6kMax)
		}
	}
	return scale
}

// q6kCode rounds to −32..31. A quotient by an underflowed scale may be
// infinite, so the bounds come first.
func q6kCode(v float32) int { return roundEven(min(max(v, -q6kMax), q6kMax-1)) }
