//go:build cuda

package cuda

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"tritflow/device"
)

// A row among 64 has the bits that it has alone, although other kernels compute it, and those of 3, 16 and 20 rows as well.
func TestAloneAndAmong64(t *testing.T) {
	eachKept(t, aloneAndAmong64)
}

// eachKept runs a test for what the tensor cores read.
func eachKept(t *testing.T, test func(t *testing.T, kv string)) {
	for _, kv := range []string{"f16", "q8_0"} {
		t.Run(kv, func(t *testing.T) { test(t, kv) })
	}
}

func aloneAndAmong64(t *testing.T, typ string) {
	const seqs, steps, perSeq = 64, 70, 3
	kv := device.KV{Type: typ, PageSize: 32, Pages: seqs * perSeq}
	r := newSpanRig(t, kv)
	alone := r.parts[0]
	among := r.parts[1] // kernel by kernel: 64 rows are too many for a span anyway
	rng := rand.New(rand.NewPCG(3, 4))
	width := r.m.Blocks[0].Hidden
	for pos := range steps {
		x := make([]float32, seqs*width)
		for i := range x {
			x[i] = float32(rng.NormFloat64())
		}
		all := r.rows(t, among, 0, seqs, pos, perSeq, x)
		for _, n := range []int{3, 16, 20} {
			if few := r.rows(t, among, 0, n, pos, perSeq, x[:n*width]); !bytes.Equal(bytesOf(few), bytesOf(all[:n*width])) {
				t.Fatalf("position %d: among %d rows others come out", pos, n)
			}
		}
		for s := range seqs {
			one := r.rows(t, alone, s, 1, pos, perSeq, x[s*width:][:width])
			if !bytes.Equal(bytesOf(one), bytesOf(all[s*width:][:width])) {
				t.Fatalf("position %d: row %d differs", pos, s)
			}
		}
	}
}

// rows runs a step of n sequences, from the first one on, at one position.
func (r *spanRig) rows(t *testing.T, p *blocks, first, n, pos, perSeq int, x []float32) []float32 {
	t.Helper()
	b := r.batch(slices.Repeat([]int{pos}, n), func(seq, page int) int { return (first+seq)*perSeq + page })
	return r.forward(t, p, b, x)
}
