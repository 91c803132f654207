package quantkern

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"testing"
)

// halves are where the codecs of dense blocks keep half-precision numbers.
var halves = map[string][]int{
	"Q4_0": {0}, "Q4_1": {0, 2}, "Q5_0": {0}, "Q5_1": {0, 2}, "Q8_0": {0},
	"Q4_K": {0, 2}, "Q5_K": {0, 2}, "Q6_K": {q6kD}, "IQ2_S": {0},
}

// denseNames are the codecs that MulDense is for.
func denseNames() []string {
	var names []string
	for _, c := range codecs {
		if !c.Ternary {
			names = append(names, c.Name)
		}
	}
	return names
}

// randomBlocks is a matrix of any bytes, but with finite numbers; with small
// no larger than 2^-3, otherwise now and then the largest, subnormal or zero.
func randomBlocks(r *rand.Rand, c *Codec, rows, cols int, small bool) []byte {
	data := make([]byte, c.Size(rows, cols))
	for i := range data {
		data[i] = byte(r.UintN(256))
	}
	finite := func(b []byte, exponent, fraction int) {
		v := uint64(r.Uint32())
		sign := v >> 31 << (exponent + fraction)
		top := uint64(1)<<exponent - 2
		e, rest := 1<<(exponent-1)-12+v&7, r.Uint64()&(1<<fraction-1)
		if !small {
			switch v >> 3 & 15 {
			case 0:
				e = top
			case 1:
				e = 0
			case 2:
				e, rest = 0, 0
			default:
				e = v >> 7 % (top + 1)
			}
		}
		v = sign | e<<fraction | rest
		if exponent == 8 && fraction == 23 {
			binary.LittleEndian.PutUint32(b, uint32(v))
		} else {
			binary.LittleEndian.PutUint16(b, uint16(v))
		}
	}
	for b := data; len(b) > 0; b = b[c.BlockBytes:] {
		switch c.Name {
		case "F32":
			finite(b, 8, 23)
		case "F16":
			finite(b, 5, 10)
		case "BF16":
			finite(b, 8, 7)
		default:
			for _, at := range halves[c.Name] {
				finite(b[at:], 5, 10)
			}
		}
	}
	return data
}

// TestTiersDecode compares rows of any bytes, scales that are no numbers
// included, for every codec and several numbers of blocks.
func TestTiersDecode(t *testing.T) {
	for _, c := range codecs {
		for blocks := 1; blocks <= 9; blocks++ {
			cols := blocks * max(c.BlockValues, 1)
			if c.BlockValues <= 1 {
				cols = blocks * 13
			}
			for seed := range uint64(20) {
				if seed%2 == 1 && c.BlockValues <= 1 {
					cols = 16 * blocks
				}
				const rows = 4
				if c.Check(rows, cols) != nil {
					continue // of the types in tiles, which need 32 rows
				}
				r := rand.New(rand.NewPCG(seed, uint64(blocks)))
				var data []byte
				if seed < 12 && !c.Ternary {
					data = randomBlocks(r, c, rows, cols, false)
				} else {
					data = make([]byte, c.Size(rows, cols))
					for i := range data {
						data[i] = byte(r.UintN(256))
					}
				}
				decode := func() []float32 { return decodeAll(c, data, rows, cols) }
				var want []float32
				withTier(t, "generic", func() { want = decode() })
				for _, name := range Tiers() {
					withTier(t, name, func() {
						wantSame(t, fmt.Sprintf("%d columns of %s on %s", cols, c.Name, name), want, decode())
					})
				}
			}
		}
	}
}

// TestTiersMultiplyPacked compares products of any bytes with finite scales:
// rows that leave remainders, one activation row and several.
func TestTiersMultiplyPacked(t *testing.T) {
	for _, typ := range denseNames() {
		c := mustLookup(t, typ)
		for _, cols := range []int{16, 32, 48, 96, 256, 512, 768, 2560} {
			if cols%c.BlockValues != 0 {
				continue
			}
			for rows := 1; rows <= 9; rows++ {
				for _, n := range []int{1, 2, 3, 4, 5, 9} {
					r := rand.New(rand.NewPCG(uint64(cols), uint64(100*rows+n)))
					data := randomBlocks(r, c, rows, cols, n%2 == 0)
					x := normals(r, n*cols)
					first := r.IntN(rows)
					product := func() []float32 {
						dst := make([]float32, n*(rows+3))
						var s Scratch
						MulDense(dst, rows+3, c, data, rows, cols, first, rows, x, n, &s)
						return dst
					}
					var want []float32
					withTier(t, "generic", func() { want = product() })
					for _, name := range Tiers() {
						withTier(t, name, func() {
							wantSame(t, fmt.Sprintf("%s %d×%d from %d by %d rows on %s", typ, rows, cols, first, n, name), want, product())
						})
					}
				}
			}
		}
	}
}

// TestPackedKernels wants kernels for the types that models are published in.
func TestPackedKernels(t *testing.T) {
	for _, tier := range available() {
		if tier.packed == nil {
			continue
		}
		for _, name := range []string{"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q5_K", "Q6_K", "IQ2_S"} {
			if p := tier.packed[name]; p.decode == nil || p.stream == nil {
				t.Errorf("%s has no kernels for %s", tier.name, name)
			}
		}
	}
}

// TestAVX2Registers looks for registers that only AVX-512 has: the generator's
// allocator takes them when the others run out.
func TestAVX2Registers(t *testing.T) {
	code, err := os.ReadFile("avx2/kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if bad := regexp.MustCompile(`\b([XY](1[6-9]|2\d|3[01])|Z\d+|K\d)\b`).Find(code); bad != nil {
		t.Errorf("the AVX2 kernels use %s", bad)
	}
}
