package quantkern

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// withTier runs f on the kernels of a tier.
func withTier(t testing.TB, name string, f func()) {
	t.Helper()
	restore, err := UseTier(name)
	if err != nil {
		t.Fatal(err)
	}
	defer restore()
	f()
}

// normals are n values, now and then a very large or small one.
func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
		switch r.IntN(64) {
		case 0:
			x[i] *= 1e20
		case 1:
			x[i] *= 1e-30
		case 2:
			x[i] = 0
		case 3:
			x[i] = float32(math.Copysign(0, -1))
		}
	}
	return x
}

// tierCases are kernels as functions of a length: what they return must not
// depend on the tier, to the bit.
var tierCases = map[string]func(r *rand.Rand, n int) []float32{
	"dot": func(r *rand.Rand, n int) []float32 { return []float32{Dot(normals(r, n), normals(r, n))} },
	"rmsnorm": func(r *rand.Rand, n int) []float32 {
		x := normals(r, n)
		RMSNorm(x, x, normals(r, n), 1e-5)
		return x
	},
	"softmax": func(r *rand.Rand, n int) []float32 {
		x := normals(r, n)
		for i := range x {
			x[i] = max(-200, min(200, x[i])) * 10
		}
		top, sum := Softmax(x)
		return append(x, top, float32(sum))
	},
	"relu2": func(r *rand.Rand, n int) []float32 {
		x := normals(r, n)
		ReLU2Mul(x, x, normals(r, n))
		return x
	},
	"silu": func(r *rand.Rand, n int) []float32 {
		x := normals(r, n)
		SiLUMul(x, x, normals(r, n))
		return x
	},
	"add": func(r *rand.Rand, n int) []float32 {
		x := normals(r, n)
		Add(x, normals(r, n))
		return x
	},
	"rope": func(r *rand.Rand, n int) []float32 {
		x, cos, sin := normals(r, 2*n+3), make([]float32, n), make([]float32, n)
		RopeAngles(cos, sin, 1234, 2*n, 500000, 1, nil)
		Rope(x, cos, sin, true)
		return x
	},
	"finite": func(r *rand.Rand, n int) []float32 {
		x := normals(r, n)
		if r.IntN(2) == 0 {
			x[r.IntN(n)] = float32(math.Inf(-1))
		}
		return []float32{float32(FirstNonFinite(x))}
	},
	"q8_0": func(r *rand.Rand, n int) []float32 { return throughKind(r, n, kvQ8) },
	"q4_0": func(r *rand.Rand, n int) []float32 { return throughKind(r, n, kvQ4) },
	"f16": func(r *rand.Rand, n int) []float32 {
		h, x := make([]uint16, n), normals(r, n)
		toF16(h, x)
		fromF16(x, h)
		return x
	},
}

func TestTiersAgree(t *testing.T) {
	lengths := []int{1, 2, 15, 16, 17, 31, 32, 33, 48, 64, 96, 100, 128, 144, 160, 256, 640, 2560, 6912}
	for _, name := range Tiers() {
		if name == "generic" {
			continue
		}
		for what, f := range tierCases {
			for _, n := range lengths {
				for seed := range uint64(4) {
					var want, got []float32
					withTier(t, "generic", func() { want = f(rand.New(rand.NewPCG(seed, uint64(n))), n) })
					withTier(t, name, func() { got = f(rand.New(rand.NewPCG(seed, uint64(n))), n) })
					wantSame(t, fmt.Sprintf("%s of %d on %s", what, n, name), want, got)
				}
			}
		}
	}
}

func wantSame(t *testing.T, what string, want, got []float32) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if math.Float32bits(w) != math.Float32bits(got[i]) && (w == w || got[i] == got[i]) {
			t.Fatalf("%s: value %d is %v (%08x), the reference has %v (%08x)", what, i,
				got[i], math.Float32bits(got[i]), w, math.Float32bits(w))
		}
	}
}

// TestTiersMultiply compares whole products: all matrix types, rows that leave
// remainders, one to thirteen activation rows, extreme codes and values.
func TestTiersMultiply(t *testing.T) {
	for _, typ := range []string{"I2_S", "I2_S_B", "TQ2_0", "TQ1_0", "F16", "F32", "Q8_0", "Q4_1"} {
		c, err := Lookup(typ)
		if err != nil {
			t.Fatal(err)
		}
		for _, cols := range []int{128, 256, 384, 640, 1536, 6912} {
			if c.BlockValues > 0 && cols%c.BlockValues != 0 {
				continue
			}
			for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 13} {
				r := rand.New(rand.NewPCG(uint64(cols), uint64(n)))
				rows := 1 + r.IntN(11)
				data := randomMatrix(t, r, c, rows, cols)
				x := normals(r, n*cols)
				if n == 3 {
					for i := range cols {
						x[i] = float32(i%2)*2 - 1 // every value the largest
					}
				}
				product := func() []float32 {
					dst := make([]float32, n*(rows+2))
					multiply(t, dst[1:], rows+2, c, data, rows, cols, x, n)
					return dst
				}
				var want []float32
				withTier(t, "generic", func() { want = product() })
				for _, name := range Tiers() {
					withTier(t, name, func() {
						wantSame(t, fmt.Sprintf("%s %d×%d by %d rows on %s", typ, rows, cols, n, name), want, product())
					})
				}
			}
		}
	}
}

// TestTiersTakeTurns: more weights than tiles of activations take turns on, and more
// tiles than take turns, from a first row that is not the matrix's.
func TestTiersTakeTurns(t *testing.T) {
	for _, typ := range []string{"I2_S", "TQ2_0"} {
		rng := newRand(61)
		const rows, cols, from = 3*turnRows + 7, 768, 5
		w := ternaryMatrix(t, rng, typ, rows, cols, true)
		for _, n := range []int{1, 6, 7, 8, 12, 13, 24, 25, 40} {
			x := normals(rng, n*cols)
			product := func() []float32 {
				var acts Acts
				var scratch Scratch
				acts.Reset(n, cols)
				for i := range n {
					acts.Quantize(i, x[i*cols:(i+1)*cols])
				}
				dst := make([]float32, n*rows)
				MulTernary(dst, rows, w, from, rows, &acts, &scratch)
				return dst
			}
			var want []float32
			withTier(t, "generic", func() { want = product() })
			for _, name := range Tiers() {
				withTier(t, name, func() { wantSame(t, fmt.Sprintf("%s by %d rows on %s", typ, n, name), want, product()) })
			}
		}
	}
}

// randomMatrix is data of any codes, 3 included, with finite scales.
func randomMatrix(t *testing.T, r *rand.Rand, c *Codec, rows, cols int) []byte {
	t.Helper()
	data := make([]byte, c.Size(rows, cols))
	if !c.Ternary {
		if err := c.Encode(data, normalsWithin(r, rows*cols), rows, cols); err != nil {
			t.Fatal(err)
		}
		return data
	}
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = 0.75 * float32(r.IntN(3)-1)
	}
	for i := 0; i < len(values); i += 64 {
		values[i] = 0.75
	}
	if err := c.Encode(data, values, rows, cols); err != nil {
		t.Fatal(err)
	}
	if c.Name == "I2_S" {
		for i := range cols / 4 {
			data[i] = 0xff
		}
	}
	return data
}

func normalsWithin(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func multiply(t *testing.T, dst []float32, stride int, c *Codec, data []byte, rows, cols int, x []float32, n int) {
	t.Helper()
	var s Scratch
	if !c.Ternary {
		MulDense(dst, stride, c, data, rows, cols, 0, rows, x, n, &s)
		return
	}
	w, err := NewTernary(c, data, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	var a Acts
	a.Reset(n, cols)
	for i := range n {
		a.Quantize(i, x[i*cols:(i+1)*cols])
	}
	MulTernary(dst, stride, w, 0, rows, &a, &s)
}

// throughKind packs values, spoils some bytes and unpacks them.
func throughKind(r *rand.Rand, n int, kind kvKind) []float32 {
	t := kvKinds[kind]
	n = (n + t.values - 1) / t.values * t.values
	x, b := normals(r, n), make([]byte, n/t.values*t.bytes)
	kind.pack(b, x)
	for i := range b {
		if r.IntN(3) == 0 {
			b[i] = byte(r.Uint32()) // any scale, any code
		}
	}
	kind.unpack(x, b)
	return x
}

func TestTiersAttend(t *testing.T) {
	for _, typ := range KVTypes() {
		for _, dim := range []int{8, 16, 32, 64, 80, 96, 128} {
			if typ[0] == 'q' && dim%32 != 0 {
				continue
			}
			for _, pos := range []int{0, 1, 14, 15, 16, 100} {
				// together: how many query heads a call takes.
				run := func(together int) []float32 {
					r := rand.New(rand.NewPCG(uint64(dim), uint64(pos)))
					kv, err := NewKVPages(typ, 8, 16, 2, dim, dim, nil)
					if err != nil {
						t.Fatal(err)
					}
					table := []int32{3, 1, 7, 0, 2, 5, 6}
					for p := range pos + 1 {
						kv.Put(table, p, normalsWithin(r, 2*dim), normalsWithin(r, 2*dim))
					}
					const heads = 6
					dst, q := make([]float32, heads*dim), normalsWithin(r, heads*dim)
					var s Scratch
					for at := 0; at < len(q); at += together * dim {
						end := min(at+together*dim, len(q))
						Attend(dst[at:end], q[at:end], kv, table, 1, pos, 0.125, &s)
					}
					return dst
				}
				var want []float32
				withTier(t, "generic", func() { want = run(1) })
				for _, name := range Tiers() {
					for _, together := range []int{1, 2, 4, 5, 6} {
						withTier(t, name, func() {
							wantSame(t, fmt.Sprintf("attention of %d heads with %s of %d over %d on %s", together, typ, dim, pos+1, name),
								want, run(together))
						})
					}
				}
			}
		}
	}
}

// TestTiersQuantize compares rows with NaN, infinities and ties.
func TestTiersQuantize(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, cols := range []int{128, 256, 640, 64} {
		for what, change := range map[string]func(x []float32){
			"plain":    func([]float32) {},
			"NaN":      func(x []float32) { x[5] = float32(math.NaN()) },
			"infinity": func(x []float32) { x[7] = -inf },
			"zero":     func(x []float32) { clear(x) },
			"ties":     func(x []float32) { clear(x); x[0] = 127; x[1] = 0.5; x[2] = 1.5; x[3] = -2.5 },
		} {
			x := normals(rand.New(rand.NewPCG(1, uint64(cols))), cols)
			change(x)
			want := make([]int8, cols)
			s := QuantizeRow(want, x)
			for _, name := range Tiers() {
				withTier(t, name, func() {
					var a Acts
					a.Reset(2, cols)
					a.Quantize(1, x)
					got := a.natural(1, make([]int8, a.stride))
					wantSame(t, what+" scale on "+name, []float32{s}, []float32{a.scale[1]})
					for i, q := range want {
						if got[i] != q {
							t.Fatalf("%s, %d columns on %s: value %d is %d, want %d", what, cols, name, i, got[i], q)
						}
					}
				})
			}
		}
	}
}

func TestUnknownTier(t *testing.T) {
	_, err := UseTier("mmx")
	if e, ok := errors.AsType[*TierError](err); !ok || e.Name != "mmx" || len(e.Have) == 0 {
		t.Fatalf("error %v, want a TierError", err)
	}
}
