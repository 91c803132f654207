package quantkern

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// slowF16 rebuilds a half from its fields in float64.
func slowF16(h uint16) float64 {
	exp, frac := int(h>>10&31), float64(h&0x3ff)
	sign := 1 - 2*float64(h>>15)
	switch exp {
	case 0:
		return math.Copysign(math.Ldexp(frac, -24), sign)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// slowToF16 searches the nearest non-negative half by bisection, ties to even.
// Where an infinity would be, it supposes the next power of two.
func slowToF16(f float32) uint16 {
	v := math.Abs(float64(f))
	value := func(h uint16) float64 {
		if h == 0x7c00 {
			return 65536
		}
		return slowF16(h)
	}
	low, high := uint16(0), uint16(0x7c00)
	for high-low > 1 {
		if mid := (low + high) / 2; value(mid) <= v {
			low = mid
		} else {
			high = mid
		}
	}
	below, above := v-value(low), value(high)-v // exact in float64
	h := low
	if above < below || above == below && high%2 == 0 {
		h = high
	}
	return h | uint16(math.Float32bits(f)>>31)<<15
}

func TestF16ToF32Exhaustive(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		got, want := F16ToF32(h), slowF16(h)
		if math.IsNaN(want) {
			bits := math.Float32bits(got)
			if got == got || bits&0x00400000 == 0 || uint16(bits>>13)&0x1ff != h&0x1ff || bits>>31 != uint32(h>>15) {
				t.Fatalf("%#04x: %#08x is not its quiet NaN", h, bits)
			}
			continue
		}
		if float64(got) != want || math.Signbit(float64(got)) != math.Signbit(want) {
			t.Fatalf("%#04x: %v, want %v", h, got, want)
		}
		if back := F32ToF16(got); back != h {
			t.Fatalf("%#04x came back as %#04x", h, back)
		}
	}
}

// TestF32ToF16Boundaries visits every half, every midpoint between two, and
// the float32 neighbours of both.
func TestF32ToF16Boundaries(t *testing.T) {
	check := func(f float32) {
		t.Helper()
		if got, want := F32ToF16(f), slowToF16(f); got != want {
			t.Fatalf("%v (%#08x): %#04x, want %#04x", f, math.Float32bits(f), got, want)
		}
	}
	for h := uint16(0); h < 0x7c00; h++ {
		v := slowF16(h)
		next := slowF16(h + 1)
		if h == 0x7bff {
			next = 65536
		}
		for _, at := range []float64{v, (v + next) / 2} {
			f := float32(at) // exact: halves have 13 bits less
			for _, f := range []float32{math.Nextafter32(f, -1), f, math.Nextafter32(f, 1e9)} {
				check(f)
				check(-f)
			}
		}
	}
	check(65535.996)
	check(math.MaxFloat32)
	check(math.SmallestNonzeroFloat32)
}

func TestF32ToF16Special(t *testing.T) {
	for _, c := range []struct {
		bits uint32
		want uint16
	}{
		{0x7f800000, 0x7c00}, {0xff800000, 0xfc00}, // infinities
		{0x7f800001, 0x7e00}, {0xffc00000, 0xfe00}, {0x7fffffff, 0x7fff}, // NaNs, made quiet
		{0x80000000, 0x8000}, {0x477fefff, 0x7bff}, {0x477ff000, 0x7c00},
	} {
		if got := F32ToF16(math.Float32frombits(c.bits)); got != c.want {
			t.Errorf("%#08x: %#04x, want %#04x", c.bits, got, c.want)
		}
	}
}

func TestF16AgainstSlow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
		if f != f || isInf(f) {
			return
		}
		if got, want := F32ToF16(f), slowToF16(f); got != want {
			t.Fatalf("%v: %#04x, want %#04x", f, got, want)
		}
	})
}

// TestBF16 checks rounding against the two neighbours in float64.
func TestBF16(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.Uint32().Draw(t, "bits")
		f := math.Float32frombits(bits)
		got := bf16ToF32(f32ToBF16(f))
		if f != f {
			if got == got {
				t.Fatalf("%#08x: a NaN became %v", bits, got)
			}
			return
		}
		low := math.Float32frombits(bits &^ 0xffff)
		high := math.Float32frombits(bits&^0xffff + 0x10000)
		below, above := math.Abs(float64(f)-float64(low)), math.Abs(float64(high)-float64(f))
		want := low
		if above < below || above == below && bits>>16&1 == 1 {
			want = high
		}
		if isInf(high) && !isInf(f) { // halfway to the power of two that is not there
			want = low
			if bits&0xffff >= 0x8000 {
				want = high
			}
		}
		if got != want {
			t.Fatalf("%v: %v, want %v", f, got, want)
		}
	})
}
