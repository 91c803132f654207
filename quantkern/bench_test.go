package quantkern

import (
	"fmt"
	"testing"
	"time"
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

// BenchmarkMulTernaryStream multiplies one activation row with so many weights,
// in the widths of 2B4T, that no cache holds them.
func BenchmarkMulTernaryStream(b *testing.B) {
	rng := newRand(47)
	for _, cols := range []int{2560, 6912} {
		rows := (160 << 20) / (cols / 4) &^ 15
		w := ternaryMatrix(b, rng, "I2_S", rows, cols, true)
		b.Run(fmt.Sprint(cols), func(b *testing.B) {
			dst, acts := make([]float32, rows), actsOf(int8s(rng, cols), []float32{1}, cols)
			var scratch Scratch
			b.SetBytes(int64(len(w.Data)))
			for b.Loop() {
				MulTernary(dst, rows, w, 0, rows, acts, &scratch)
			}
		})
	}
}

// BenchmarkMulTernaryRows multiplies many activation rows; "of peak" is against Int8Probe.
func BenchmarkMulTernaryRows(b *testing.B) {
	const cols, rounds = 2560, 1 << 17
	const rows, matrices = 2560, 100 // no cache holds them
	rng := newRand(48)
	start := time.Now()
	Int8Probe(rounds)
	peak := float64(rounds*ProbeProducts) / time.Since(start).Seconds()
	w := ternaryMatrix(b, rng, "I2_S", matrices*rows, cols, true)
	var parts [matrices]Ternary
	for i := range parts {
		parts[i] = Ternary{Codec: w.Codec, Rows: rows, Cols: cols, Data: w.Data[i*rows*cols/4:][:rows*cols/4], Uniform: true, Scale: w.Scale}
	}
	for _, n := range []int{4, 8, 16, 32, 48, 64, 96, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var acts Acts
			var scratch Scratch
			acts.Reset(n, cols)
			for i := range n {
				acts.Quantize(i, floats(rng, cols))
			}
			dst := make([]float32, n*rows)
			for b.Loop() {
				for i := range parts {
					MulTernary(dst, rows, &parts[i], 0, rows, &acts, &scratch)
				}
			}
			products := float64(matrices*rows*cols*n) * float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(products/1e9, "G/s")
			b.ReportMetric(products/peak, "of_peak")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMulDense is a part of a large vocabulary's head that no cache holds,
// by one and by eight rows of activations.
func BenchmarkMulDense(b *testing.B) {
	const rows, cols = 32768, 2560
	for _, name := range denseNames() {
		for _, n := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				c, rng := mustLookup(b, name), newRand(41)
				data := randomBlocks(rng, c, rows, cols, true)
				x, dst := floats(rng, n*cols), make([]float32, n*rows)
				var scratch Scratch
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					MulDense(dst, rows, c, data, rows, cols, 0, rows, x, n, &scratch)
				}
			})
		}
	}
}

// BenchmarkRead is how fast one thread reads memory: what the products can
// reach at most.
func BenchmarkRead(b *testing.B) {
	if active.absMaxBits == nil {
		b.Skip("only vector kernels read that fast")
	}
	x := floats(newRand(44), 1<<25)
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		active.absMaxBits(&x[0], uintptr(len(x)/Lanes))
	}
}

// BenchmarkDecode unpacks rows that the first caches hold.
func BenchmarkDecode(b *testing.B) {
	const rows, cols = 8, 2560
	for _, c := range codecs {
		if c.Ternary {
			continue
		}
		b.Run(c.Name, func(b *testing.B) {
			data := randomBlocks(newRand(45), c, rows, cols, true)
			dst := make([]float32, cols)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				for r := range rows {
					c.Decode(dst, data, rows, cols, r)
				}
			}
		})
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
