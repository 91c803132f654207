package quantkern

import (
	"fmt"
	"testing"
)

// Bytes are those of the packed weights, of both vectors, of the keys and
// values: the memory that a call reads.

func BenchmarkMulTernary(b *testing.B) {
	const rows, cols = 2560, 6912
	rng := newRand(40)
	for _, name := range []string{"I2_S", "TQ2_0", "TQ1_0"} {
		w := ternaryMatrix(b, rng, name, rows, cols, true)
		for _, n := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				q, s := int8s(rng, n*cols), make([]float32, n)
				for i := range s {
					s[i] = 1
				}
				dst := make([]float32, n*rows)
				acts := actsOf(q, s, cols)
				var scratch Scratch
				b.SetBytes(int64(len(w.Data)))
				for b.Loop() {
					MulTernary(dst, rows, w, 0, rows, acts, &scratch)
				}
			})
		}
	}
}

func BenchmarkMulDense(b *testing.B) {
	const rows, cols = 1024, 2560
	rng := newRand(41)
	c := mustLookup(b, "F16")
	data := make([]byte, c.Size(rows, cols))
	if err := c.Encode(data, floats(rng, rows*cols), rows, cols); err != nil {
		b.Fatal(err)
	}
	x, dst := floats(rng, cols), make([]float32, rows)
	var scratch Scratch
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		MulDense(dst, rows, c, data, rows, cols, 0, rows, x, 1, &scratch)
	}
}

func BenchmarkDot(b *testing.B) {
	rng := newRand(42)
	x, y := floats(rng, 2560), floats(rng, 2560)
	b.SetBytes(int64(8 * len(x)))
	for b.Loop() {
		Dot(x, y)
	}
}

func BenchmarkAttend(b *testing.B) {
	const positions, dim = 1024, 128
	s := randomSequence(43, positions, 1, dim, dim)
	for _, typ := range KVTypes() {
		b.Run(typ, func(b *testing.B) {
			kv, table := s.cache(b, typ, 32)
			dst := make([]float32, dim)
			var scratch Scratch
			b.SetBytes(int64(positions / 32 * kv.PageBytes()))
			for b.Loop() {
				Attend(dst, s.queries[0], kv, table, 0, positions-1, 0.01, &scratch)
			}
		})
	}
}
