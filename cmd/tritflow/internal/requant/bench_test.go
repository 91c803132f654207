package requant

import (
	"bytes"
	"io"
	"testing"

	"tritflow/gguf"
	"tritflow/quantkern"
)

// BenchmarkPairs converts a matrix of BitNet 2B4T's feed-forward network from every
// ternary type to every other, in memory and without the comparison that
// follows. bits/weight is the size of the result.
func BenchmarkPairs(b *testing.B) {
	const rows, cols = 6912, 2560
	trits := make([]int8, rows*cols)
	state := uint64(1)
	for i := range trits {
		state = state*6364136223846793005 + 1442695040888963407
		trits[i] = int8(state>>40%3) - 1
	}
	src := quantkern.TritSource{Rows: rows, Cols: cols, Scale: 0.5, Trits: func(dst []int8, r int) error {
		copy(dst, trits[r*cols:])
		return nil
	}}
	packed := func(src quantkern.TritSource, to gguf.Type) []byte {
		x, _, err := FromTrits("blk.0.ffn_up.weight", src, to, false)
		if err != nil {
			b.Fatal(err)
		}
		r, err := x.open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var buf bytes.Buffer
		if _, err := io.Copy(&buf, r); err != nil {
			b.Fatal(err)
		}
		return buf.Bytes()
	}
	for _, from := range ternaryNames {
		in, err := MatrixType(from)
		if err != nil {
			b.Fatal(err)
		}
		data := packed(src, in)
		c, err := codec(in)
		if err != nil {
			b.Fatal(err)
		}
		w, err := quantkern.NewTernary(c, data, rows, cols)
		if err != nil {
			b.Fatal(err)
		}
		for _, to := range ternaryNames {
			out, err := MatrixType(to)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(from+"/"+to, func(b *testing.B) {
				size := 0
				for b.Loop() {
					size = len(packed(w.Source(), out))
				}
				b.ReportMetric(float64(rows*cols)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mweights/s")
				b.ReportMetric(float64(8*size)/(rows*cols), "bits/weight")
			})
		}
	}
}
